"""The least that a program can do for the same work: the calls, one SQLite commit for each, and the file writes,
without claims, budget, recovery or checks of files."""
