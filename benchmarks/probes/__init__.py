"""Programs that measure one thing in a process of its own, and print it as a line of JSON."""
