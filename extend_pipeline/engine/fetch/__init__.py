"""Fetch paid results, analyse them, and decide what a failure to fetch means."""
