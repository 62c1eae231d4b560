"""Jobs and schedules, and the logging of their runs."""
