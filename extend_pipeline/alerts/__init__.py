"""Alerts: what is reported and when (`decide`), the message, and its delivery by a webhook or a command."""
