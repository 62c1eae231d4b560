"""The operational state: tables, transitions, budgets and invariants. No other package writes it.

Every change is one transaction that appends to `events` and applies the event to the state tables by the function that
a replay uses too. Writers are serialised on both databases, so that correctness never depends on an isolation level.
"""
