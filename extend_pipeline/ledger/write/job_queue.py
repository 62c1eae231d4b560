"""Who looks at what, and when: takes due attempts so that two processes do not do the same work twice. Hints only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, or_, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.clock import TOLERANCE_MS
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.queries import chunks
from extend_pipeline.ledger.states import AttemptState


@dataclass(frozen=True, slots=True)
class MaxWaits:
    """How far ahead a due time of an account can lie, in milliseconds: after a look that went well, and after one that
    failed. What lies farther ahead was written by a clock that was ahead, and is due now."""

    healthy_ms: int
    failing_ms: int

    def longest(self, span: Row[Any]) -> int:
        """Return the longest wait of what a row of `_SPANS` stands for."""
        return self.failing_ms if span.failing else self.healthy_ms


def claim_due(
    tx: LedgerTransaction,
    *,
    states: Collection[AttemptState],
    accounts: Mapping[str, MaxWaits],
    hold_ms: int,
    limit: int,
    owner: str,
    videos: Collection[str] | None = None,
    soonest_expiring_first: bool = False,
) -> list[Row[Any]]:
    """Take up to `limit` due attempts in the given states: nobody else is given them for `hold_ms`.

    A taker that dies costs a delay of `hold_ms`, no more. Rows are whole `attempts` rows with `tries` and `note`.
    """
    attempts, schedule = tables.attempts, tables.schedule
    soonest = (attempts.c.expires_at.asc().nulls_last(),) if soonest_expiring_first else ()
    order = (*soonest, schedule.c.due_at, attempts.c.attempt_id)
    query = (
        select(attempts.c.attempt_id, attempts.c.video_key)
        .join(schedule, schedule.c.attempt_id == attempts.c.attempt_id)
        .where(_is_due(states, accounts, tx.now_ms))
        .order_by(*order)
    )
    if videos is None:
        due = [row.attempt_id for row in tx.connection.execute(query.limit(limit))]
    else:
        wanted = frozenset(videos)  # a backfill may name more of them than one statement can take
        due = [row.attempt_id for row in tx.connection.execute(query) if row.video_key in wanted][:limit]
    whole = select(attempts, schedule.c.tries, schedule.c.note).join(
        schedule, schedule.c.attempt_id == attempts.c.attempt_id
    )
    rows: list[Row[Any]] = []
    for part in chunks(due):
        rows += tx.connection.execute(whole.where(attempts.c.attempt_id.in_(part)).order_by(*order))
        taken = update(schedule).where(schedule.c.attempt_id.in_(part))
        tx.connection.execute(taken.values(due_at=tx.now_ms + hold_ms, owner=owner))
    return rows


def extend_lease(tx: LedgerTransaction, attempt_id: str, *, owner: str, until: int, held_by: str | None = None) -> bool:
    """Go on holding what `take_due` gave, or take it from `held_by` (empty: nobody). False where somebody else has
    taken it, or nothing is due any more."""
    table = tables.schedule
    free = (table.c.attempt_id == attempt_id) & (table.c.owner == (owner if held_by is None else held_by))
    return tx.connection.execute(update(table).where(free).values(due_at=until, owner=owner)).rowcount == 1


def release(tx: LedgerTransaction, attempt_ids: Collection[str], *, owner: str) -> None:
    """Make due now what `take_due` gave and nobody looked at: its taker ended without a word. What somebody else has
    taken since, or what was scheduled anew, is left alone."""
    table = tables.schedule
    for part in chunks(attempt_ids):
        mine = table.c.attempt_id.in_(part) & (table.c.owner == owner)
        tx.connection.execute(update(table).where(mine).values(due_at=tx.now_ms, owner=""))


def make_due(tx: LedgerTransaction, account: str) -> None:
    """Make due now what is scheduled of an account and held by nobody."""
    table = tables.schedule
    free = (table.c.account == account) & (table.c.owner == "") & (table.c.due_at > tx.now_ms)
    tx.connection.execute(update(table).where(free).values(due_at=tx.now_ms))


def leases_by_owner(connection: Connection) -> dict[str, list[str]]:
    """Who holds what `take_due` gave, as attempt ids by owner."""
    table = tables.schedule
    held: dict[str, list[str]] = {}
    for row in connection.execute(select(table.c.attempt_id, table.c.owner).where(table.c.owner != "")):
        held.setdefault(row.owner, []).append(row.attempt_id)
    return held


def has_due(ledger: Ledger, *, now_ms: int, states: Collection[AttemptState], accounts: Mapping[str, MaxWaits]) -> bool:
    """Whether `take_due` would find anything; reads only, so that an idle round writes nothing."""
    names, latest = [state.value for state in states], now_ms + TOLERANCE_MS
    with ledger.read() as connection:
        spans = [span for span in connection.execute(_SPANS) if span.state in names and span.account in accounts]
    return any(span.first <= now_ms or span.last > latest + accounts[span.account].longest(span) for span in spans)


_SPANS: Final = (
    select(
        tables.attempts.c.state,
        tables.attempts.c.account,
        (tables.schedule.c.tries > 0).label("failing"),
        func.min(tables.schedule.c.due_at).label("first"),
        func.max(tables.schedule.c.due_at).label("last"),
    )
    .join(tables.schedule, tables.schedule.c.attempt_id == tables.attempts.c.attempt_id)
    .group_by(tables.attempts.c.state, tables.attempts.c.account, "failing")
)
"""From when to when something is due, by state, account and whether the last look failed. A constant: it is asked four
times a round."""


def _is_due(states: Collection[AttemptState], accounts: Mapping[str, MaxWaits], now_ms: int) -> ColumnElement[bool]:
    """The condition of `take_due`: the time has come, or it lies farther ahead than the account's longest wait."""
    attempts, schedule = tables.attempts, tables.schedule
    asked_for = and_(attempts.c.state.in_([state.value for state in states]), attempts.c.account.in_(list(accounts)))
    if not accounts:
        return asked_for
    latest = now_ms + TOLERANCE_MS
    healthy = case({name: latest + waits.healthy_ms for name, waits in accounts.items()}, value=attempts.c.account)
    failing = case({name: latest + waits.failing_ms for name, waits in accounts.items()}, value=attempts.c.account)
    too_far = schedule.c.due_at > case((schedule.c.tries > 0, failing), else_=healthy)
    return and_(asked_for, or_(schedule.c.due_at <= now_ms, too_far))


def scheduled(connection: Connection, attempt_ids: Collection[str]) -> frozenset[str]:
    """Those of the attempts that something is scheduled for."""
    table = tables.schedule
    query = select(table.c.attempt_id)
    found = (connection.execute(query.where(table.c.attempt_id.in_(part))).scalars() for part in chunks(attempt_ids))
    return frozenset(attempt_id for part in found for attempt_id in part)


def unscheduled(connection: Connection, states: Collection[AttemptState]) -> list[Row[Any]]:
    """Attempts in the states that nothing is scheduled for: hints are no part of the events, and may be lost. Rows have
    `attempt_id`, `account`, `state` and `submit_class`."""
    attempts, schedule = tables.attempts, tables.schedule
    query = (
        select(attempts.c.attempt_id, attempts.c.account, attempts.c.state, attempts.c.submit_class)
        .outerjoin(schedule, schedule.c.attempt_id == attempts.c.attempt_id)
        .where(attempts.c.state.in_([state.value for state in states]), schedule.c.attempt_id.is_(None))
    )
    return list(connection.execute(query))
