"""Apply events to the state tables, live and in a replay, and prove what must hold of them."""
