"""Resolve attempts whose outcome is unknown: look-ups, callbacks, decisions of an operator."""
