"""Who looks at what, and when: takes due attempts so that two processes do not do the same work twice. Hints only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.events import Writer
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
    query = (
        select(attempts, schedule.c.tries, schedule.c.note)
        .join(schedule, schedule.c.attempt_id == attempts.c.attempt_id)
        .where(
            schedule.c.due_at <= tx.now_ms,
            attempts.c.state.in_([state.value for state in states]),
            attempts.c.account.in_(list(accounts)),
        )
        .limit(limit)
    )
    if videos is not None:
        query = query.where(attempts.c.video_key.in_(list(videos)))
    if soonest_expiring_first:
        query = query.order_by(attempts.c.expires_at.asc().nulls_last(), schedule.c.due_at)
    else:
        query = query.order_by(schedule.c.due_at)
    rows = list(tx.connection.execute(query))
    if rows:
        taken = update(schedule).where(schedule.c.attempt_id.in_([row.attempt_id for row in rows]))
        tx.connection.execute(taken.values(due_at=tx.now_ms + hold_ms, owner=owner))
    return rows


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
