"""The write transactions of several threads and processes: who writes next, and what is committed together."""
