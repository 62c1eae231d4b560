"""Benchmarks that measure two programs in one run, and their ratio."""
