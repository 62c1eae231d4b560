"""Decide what is due, what it costs and what blocks it. Pure, but for reading its inputs."""
