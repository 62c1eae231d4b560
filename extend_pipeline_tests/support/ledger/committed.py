"""The most that was ever committed, in flight and exposed, after every event of a ledger's history."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import EXPOSED, SLOT_HOLDING, AttemptState

S = AttemptState

_STATE_OF_KIND: Final = {f"attempt_{state.value}": state for state in S}


@dataclass
class Peaks:
    """The largest sums of any prefix of the events: micro-units by account, by account and day, tasks in flight by
    account, exposed micro-units by account."""

    total: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    day: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    exposed: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def peaks(ledger: Ledger, *, up_to: int | None = None) -> Peaks:
    """Sum up the history event by event, to the event number `up_to` where one is given."""
    highest = Peaks()
    _sum_charges(ledger, highest, up_to)
    _follow_attempts(ledger, highest, up_to)
    return highest


def _sum_charges(ledger: Ledger, highest: Peaks, up_to: int | None) -> None:
    """Bookings of one event belong together: what it gives back and what it settles."""
    table = tables.charges
    total: dict[str, int] = defaultdict(int)
    day: dict[tuple[str, str], int] = defaultdict(int)
    with ledger.read() as connection:
        rows = list(connection.execute(select(table).order_by(table.c.seq)))
    for number, row in enumerate(rows):
        if up_to is not None and row.seq > up_to:
            break
        total[row.account] += row.micros
        day[row.account, row.budget_day] += row.micros
        if number + 1 < len(rows) and rows[number + 1].seq == row.seq:
            continue
        highest.total[row.account] = max(highest.total[row.account], total[row.account])
        on = (row.account, row.budget_day)
        highest.day[on] = max(highest.day[on], day[on])


def _follow_attempts(ledger: Ledger, highest: Peaks, up_to: int | None) -> None:
    events, attempts = tables.events, tables.attempts
    with ledger.read() as connection:
        made = {row.attempt_id: row for row in connection.execute(select(attempts))}
        rows = list(connection.execute(select(events).order_by(events.c.seq)))
    states: dict[str, AttemptState] = {}
    flying: dict[str, int] = defaultdict(int)
    exposed: dict[str, int] = defaultdict(int)
    for row in rows:
        state = _STATE_OF_KIND.get(row.kind)
        if state is None or (up_to is not None and row.seq > up_to):
            continue
        attempt, before = made[row.attempt_id], states.get(row.attempt_id)
        states[row.attempt_id] = state
        account, micros = attempt.account, attempt.predicted_micros
        flying[account] += (state in SLOT_HOLDING) - (before in SLOT_HOLDING)
        exposed[account] += micros * ((state in EXPOSED) - (before in EXPOSED))
        highest.in_flight[account] = max(highest.in_flight[account], flying[account])
        highest.exposed[account] = max(highest.exposed[account], exposed[account])
