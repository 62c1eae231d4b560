"""Apply events to the state tables, live and in a replay, and check the invariants."""
