"""Recordings of what an earlier version computed, which every later one computes again."""
