"""What came in by callback. A callback is somebody's word: it may name a task and say that it is time to look, no more.

Rows are hints, not state. A row that is lost costs a poll; what a row names counts only once a GET with our own
credentials has shown it (`engine/recover.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from extend_pipeline.ledger import tables, transitions
from extend_pipeline.ledger.events import Writer
from extend_pipeline.ledger.states import POLLED, AttemptState

S = AttemptState

MOST_A_TASK: Final = 64  # a task changes its state four times, and each change may be told twice
SCHEDULED: Final = frozenset({*POLLED, S.SUCCEEDED, S.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class Addressee:
    """The attempt that an address belongs to."""

    attempt_id: str
    account: str
    provider: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The callback is kept, and its attempt is due now where there is something to look at."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same words came before."""


@dataclass(frozen=True, slots=True)
class Full:
    """So many have come for this attempt that nothing more is believed to be news."""


def token_digest(token: str) -> str:
    """What the ledger keeps of an attempt's address: its SHA-256, so that reading the ledger tells no address."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def addressee(connection: Connection, digest: str) -> Addressee | None:
    """Whose address this is; None for one that was never given out."""
    table = tables.attempts
    row = connection.execute(
        select(table.c.attempt_id, table.c.account, table.c.provider).where(table.c.callback_digest == digest)
    ).first()
    return None if row is None else Addressee(row.attempt_id, row.account, row.provider)


def receive(tx: Writer, to: Addressee, *, digest: str, task_id: str | None, body: str) -> Kept | Repeated | Full:
    """Keep one callback under the digest of its words, and make its attempt due now. `body` is scrubbed and capped."""
    table = tables.inbox
    if tx.connection.execute(select(table.c.digest).where(table.c.digest == digest)).first() is not None:
        return Repeated()
    mine = select(func.count()).select_from(table).where(table.c.attempt_id == to.attempt_id)
    if tx.connection.execute(mine).scalar_one() >= MOST_A_TASK:
        return Full()
    tx.connection.execute(
        insert(table).values(
            digest=digest,
            attempt_id=to.attempt_id,
            account=to.account,
            received_at=tx.now_ms,
            task_id=task_id,
            looked_at=None,
            note="",
            body=body,
        )
    )
    _make_due(tx, to, names_a_task=task_id is not None)
    return Kept(to.attempt_id)


def named(connection: Connection, attempt_ids: Collection[str]) -> dict[str, list[Row[Any]]]:
    """Callbacks that name a task and were not looked into yet, oldest first, by attempt."""
    table = tables.inbox
    query = (
        select(table)
        .where(table.c.attempt_id.in_(list(attempt_ids)), table.c.task_id.is_not(None), table.c.looked_at.is_(None))
        .order_by(table.c.received_at, table.c.digest)
    )
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.attempt_id, []).append(row)
    return found


def looked_into(tx: Writer, digest: str, *, note: str) -> None:
    """Say what looking at the task that a callback named has shown."""
    table = tables.inbox
    tx.connection.execute(update(table).where(table.c.digest == digest).values(looked_at=tx.now_ms, note=note))


def _make_due(tx: Writer, to: Addressee, *, names_a_task: bool) -> None:
    state = transitions.state_of(tx, to.attempt_id)
    if state not in SCHEDULED:
        return  # still being sent, or over: what is named is there for whoever ends the lease
    table = tables.schedule
    mine = table.c.attempt_id == to.attempt_id
    row = tx.connection.execute(select(table.c.due_at).where(mine)).first()
    if row is not None:
        tx.connection.execute(update(table).where(mine & (table.c.due_at > tx.now_ms)).values(due_at=tx.now_ms))
    elif state is S.IN_DOUBT and names_a_task:
        transitions.schedule(tx, to.attempt_id, account=to.account, due_at=tx.now_ms)
