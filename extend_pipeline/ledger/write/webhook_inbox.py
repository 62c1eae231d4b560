"""What came in by callback. A callback is somebody's word: it may name a task and say that it is time to look, no more.

Rows are hints, not state. A row that is lost costs a poll; what a row names counts only once a GET with our own
credentials has shown it (`engine/doubt/callback_lookup.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, func, insert, select, update

from extend_pipeline.base.scrub import scrub
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import transitions

S = AttemptState

MAX_CALLBACK_LOOKUPS: Final = (
    48  # callbacks an attempt that name a task: it changes four times, and each change may be retold
)
MAX_UNNAMED: Final = 16  # and that name none, counted apart: rubbish must not keep a true one out
MAX_TASKS: Final = 8  # different tasks an attempt may be said to have; each costs a few GETs while it is in doubt
MAX_REPORTED: Final = 2  # refusals that a person is told of an attempt at a time
MAX_CALLBACKS_PER_TASK: Final = MAX_CALLBACK_LOOKUPS + MAX_UNNAMED
SCHEDULED: Final = frozenset({*POLLED, S.SUCCEEDED, S.IN_DOUBT})
ENDED: Final = frozenset({S.WRITTEN_OFF, S.RELEASED, S.REJECTED})
"""Attempts that a person has given up, or of which nothing is known to have been made: a callback that names a task for
one tells of something paid that nobody looks after."""


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """The attempt that an address belongs to."""

    attempt_id: str
    account: str
    provider: str


@dataclass(frozen=True, slots=True)
class Message:
    """One callback as it is kept. `digest` is of its addressee and its words, `body` is free of secrets."""

    to: WebhookTarget
    digest: str
    task_id: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The callback is kept, and its attempt is due now where there is something to look at."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class DuplicateDelivery:
    """The same words came before."""


@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """So many have come for this attempt that nothing more is believed to be news."""


def token_digest(token: str) -> str:
    """Return what the ledger keeps of an attempt's address: its SHA-256, so that reading the ledger tells no
    address."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def message(to: WebhookTarget, body: bytes, *, task_id: str | None, secrets: tuple[str, ...] = ()) -> Message:
    """Return a callback made ready to be kept: `secrets` (its token, which some upstreams repeat) are taken out of its
    body.

    The digest is of the attempt and the bytes, and of no header: the same words with another `webhook-id` are a replay.
    """
    digest = hashlib.sha256(to.attempt_id.encode() + b"\n" + body).hexdigest()
    return Message(to, digest, task_id, scrub(body.decode("utf-8", "replace"), secrets=secrets))


def targets(connection: Connection, digests: Collection[str]) -> dict[str, WebhookTarget]:
    """Return whose addresses these are, by digest; one that was never given out is left out."""
    table = tables.attempts
    query = select(table.c.callback_digest, table.c.attempt_id, table.c.account, table.c.provider)
    rows = connection.execute(query.where(table.c.callback_digest.in_(list(digests))))
    return {row.callback_digest: WebhookTarget(row.attempt_id, row.account, row.provider) for row in rows}


def classify_callback(connection: Connection, given: Message) -> DuplicateDelivery | QuotaExceeded | None:
    """Return why a callback is no news; None where it is. Reads only, so that a flood of what is known writes
    nothing."""
    table = tables.inbox
    if connection.execute(select(table.c.digest).where(table.c.digest == given.digest)).first() is not None:
        return DuplicateDelivery()
    mine = table.c.attempt_id == given.to.attempt_id
    names = table.c.task_id.is_not(None)
    same_kind = names if given.task_id is not None else ~names
    rows = connection.execute(select(func.count()).select_from(table).where(mine, same_kind)).scalar_one()
    if rows >= (MAX_UNNAMED if given.task_id is None else MAX_CALLBACK_LOOKUPS):
        return QuotaExceeded()
    others = select(table.c.task_id).where(mine, names, table.c.task_id != given.task_id).distinct()
    if given.task_id is not None and len(connection.execute(others).all()) >= MAX_TASKS:
        return QuotaExceeded()
    return None


def receive(tx: LedgerTransaction, given: Message) -> Stored | DuplicateDelivery | QuotaExceeded:
    """Keep one callback under its digest, and make its attempt due now. What it repeats of a task that is known is not
    kept word for word."""
    no_news = classify_callback(tx.connection, given)
    if no_news is not None:
        return no_news
    attempts = tables.attempts
    attempt = tx.connection.execute(
        select(attempts.c.task_id, attempts.c.submit_class).where(attempts.c.attempt_id == given.to.attempt_id)
    ).one()
    tx.connection.execute(
        insert(tables.inbox).values(
            digest=given.digest,
            attempt_id=given.to.attempt_id,
            account=given.to.account,
            received_at=tx.now_ms,
            task_id=given.task_id,
            looked_at=None,
            note="",
            body="" if given.task_id is not None and given.task_id == attempt.task_id else given.body,
        )
    )
    _make_due(tx, given, submit_class=attempt.submit_class)
    return Stored(given.to.attempt_id)


def named(connection: Connection, attempt_ids: Collection[str]) -> dict[str, list[str]]:
    """Return tasks that callbacks named and that nobody has looked into yet, each once, first named first, by
    attempt."""
    table = tables.inbox
    query = (
        select(table.c.attempt_id, table.c.task_id)
        .where(table.c.attempt_id.in_(list(attempt_ids)), table.c.task_id.is_not(None), table.c.looked_at.is_(None))
        .order_by(table.c.received_at, table.c.digest)
    )
    found: dict[str, list[str]] = {}
    for row in connection.execute(query):
        tasks = found.setdefault(row.attempt_id, [])
        if row.task_id not in tasks:
            tasks.append(row.task_id)
    return found


def named_elsewhere(connection: Connection, account: str, task_id: str, *, than: str) -> bool:
    """Return whether a callback to the address of another attempt of the account names the same task."""
    table = tables.inbox
    others = (table.c.account == account) & (table.c.task_id == task_id) & (table.c.attempt_id != than)
    return connection.execute(select(table.c.digest).where(others).limit(1)).first() is not None


def mark_processed(tx: LedgerTransaction, attempt_id: str, task_id: str, *, note: str) -> None:
    """Say what looking at a task that callbacks named for an attempt has shown."""
    table = tables.inbox
    told = and_(table.c.attempt_id == attempt_id, table.c.task_id == task_id, table.c.looked_at.is_(None))
    tx.connection.execute(update(table).where(told).values(looked_at=tx.now_ms, note=note))


def refusals(connection: Connection, attempt_ids: Collection[str]) -> dict[str, str]:
    """Return which tasks callbacks named for attempts and why they were not taken, in words, newest look first; only of
    attempts of which some were."""
    if not attempt_ids:
        return {}
    table = tables.inbox
    newest = func.max(table.c.looked_at).label("newest")
    query = select(table.c.attempt_id, table.c.task_id, table.c.note, newest).where(
        table.c.attempt_id.in_(list(attempt_ids)), table.c.looked_at.is_not(None)
    )
    query = query.group_by(table.c.attempt_id, table.c.task_id, table.c.note)
    told: dict[str, list[str]] = {}
    for row in connection.execute(query.order_by(newest.desc(), table.c.task_id)):
        told.setdefault(row.attempt_id, []).append(f"a callback named task {row.task_id}: {row.note}")
    return {attempt_id: "; ".join(one[:MAX_REPORTED]) for attempt_id, one in told.items()}


def _make_due(tx: LedgerTransaction, given: Message, *, submit_class: str) -> None:
    attempt_id = given.to.attempt_id
    state = transitions.state_of(tx, attempt_id)
    if state in ENDED and (state is S.WRITTEN_OFF or submit_class != "A"):  # class A finds its task by its key again
        if _is_new_task(tx, given):
            transitions.schedule(tx, attempt_id, account=given.to.account, due_at=tx.now_ms, while_in=ENDED)
        return
    if state not in SCHEDULED:
        return  # still being sent, or over: what is named is there for whoever ends the lease
    table = tables.schedule
    later = (table.c.attempt_id == attempt_id) & (table.c.due_at > tx.now_ms)
    if state is S.SUCCEEDED:
        later &= table.c.owner == ""  # one that is being fetched right now must not be fetched twice
    elif state is S.IN_DOUBT and submit_class != "A":
        if _is_new_task(tx, given):
            transitions.schedule(tx, attempt_id, account=given.to.account, due_at=tx.now_ms)
        return  # a task that was named before is looked for in its own rhythm; without a name there is nothing to ask
    tx.connection.execute(update(table).where(later).values(due_at=tx.now_ms))


def _is_new_task(tx: LedgerTransaction, given: Message) -> bool:
    table = tables.inbox
    before = and_(
        table.c.attempt_id == given.to.attempt_id, table.c.task_id == given.task_id, table.c.digest != given.digest
    )
    found = tx.connection.execute(select(table.c.digest).where(before).limit(1)).first()
    return given.task_id is not None and found is None
