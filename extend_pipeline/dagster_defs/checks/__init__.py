"""Asset checks: one function each."""
