"""Jobs and schedules, and how a run drives the engine."""
