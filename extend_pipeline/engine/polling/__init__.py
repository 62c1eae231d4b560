"""Poll tasks in flight and apply what their providers show."""
