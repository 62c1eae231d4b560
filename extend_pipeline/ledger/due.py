"""Who looks at what, and when: takes due attempts so that two processes do not do the same work twice. Hints only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.events import Writer
from extend_pipeline.ledger.reads import chunks
from extend_pipeline.ledger.states import AttemptState


def take_due(
    tx: Writer,
    *,
    states: Collection[AttemptState],
    accounts: Collection[str],
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
        .where(
            schedule.c.due_at <= tx.now_ms,
            attempts.c.state.in_([state.value for state in states]),
            attempts.c.account.in_(list(accounts)),
        )
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


def hold(tx: Writer, attempt_id: str, *, owner: str, until: int) -> bool:
    """Go on holding what `take_due` gave. False where somebody else has taken it, or nothing is due any more."""
    table = tables.schedule
    mine = (table.c.attempt_id == attempt_id) & (table.c.owner == owner)
    return tx.connection.execute(update(table).where(mine).values(due_at=until)).rowcount == 1


def has_due(ledger: Ledger, *, now_ms: int, states: Collection[AttemptState], accounts: Collection[str]) -> bool:
    """Whether `take_due` would find anything; reads only, so that an idle round writes nothing."""
    attempts, schedule = tables.attempts, tables.schedule
    query = (
        select(schedule.c.attempt_id)
        .join(attempts, schedule.c.attempt_id == attempts.c.attempt_id)
        .where(
            schedule.c.due_at <= now_ms,
            attempts.c.state.in_([state.value for state in states]),
            attempts.c.account.in_(list(accounts)),
        )
        .limit(1)
    )
    with ledger.read() as connection:
        return connection.execute(query).first() is not None


def forgotten(connection: Connection, states: Collection[AttemptState]) -> list[Row[Any]]:
    """Attempts in the states that nothing is scheduled for: hints are no part of the events, and may be lost. Rows have
    `attempt_id`, `account`, `state` and `submit_class`."""
    attempts, schedule = tables.attempts, tables.schedule
    query = (
        select(attempts.c.attempt_id, attempts.c.account, attempts.c.state, attempts.c.submit_class)
        .outerjoin(schedule, schedule.c.attempt_id == attempts.c.attempt_id)
        .where(attempts.c.state.in_([state.value for state in states]), schedule.c.attempt_id.is_(None))
    )
    return list(connection.execute(query))
