"""Sensors: one module for each kind of work that they watch."""
