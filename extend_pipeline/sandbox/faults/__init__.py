"""Faults that a test orders, and the responses that carry them out."""
