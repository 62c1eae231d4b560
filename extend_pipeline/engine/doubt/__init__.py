"""Resolve attempts whose outcome is unknown: look-ups and callbacks."""
