"""Applies events to the state tables, live and in a replay, and checks the invariants."""
