"""The operational truth: tables, transitions, budgets, invariants. The only package that writes operational state.

Every change is one transaction that appends to `events` and folds the event into the state tables by the same function
that a replay uses. Writers are serialised on both databases, so that correctness never rests on an isolation level.
"""
