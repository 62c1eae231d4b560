"""Benchmarks: always two programs in one run, and their ratio."""
