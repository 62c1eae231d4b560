"""The inbox of callbacks. A callback is unauthenticated: it may name a task and make it due, no more.

Rows are hints, not state. A lost row costs a poll. The task in a row counts only once a GET with our own credentials
has confirmed it (`engine/doubt/callback_lookup.py`).
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, func, insert, select, update

from extend_pipeline.base.scrub import scrub
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import POLLED
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import transitions

MAX_CALLBACK_LOOKUPS: Final = 48  # callbacks per attempt with a task: four changes, each perhaps sent several times
MAX_UNNAMED: Final = 16  # callbacks per attempt without a task, counted apart so that they don't keep others out
MAX_TASKS: Final = 8  # different tasks per attempt; each costs a few GETs while it is in doubt
MAX_REPORTED: Final = 2  # refusals shown per attempt
MAX_CALLBACKS_PER_TASK: Final = MAX_CALLBACK_LOOKUPS + MAX_UNNAMED
SCHEDULED: Final = frozenset({*POLLED, S.SUCCEEDED, S.IN_DOUBT})
ENDED: Final = frozenset({S.WRITTEN_OFF, S.RELEASED, S.REJECTED})
"""States of attempts that an operator has given up, or for which no task is known. A callback that names a task for one
reports a paid task that no worker polls."""


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """The attempt that a callback address belongs to."""

    attempt_id: str
    account: str
    provider: str


@dataclass(frozen=True, slots=True)
class Message:
    """One callback as it is stored. `digest` is of its target and its bytes, `body` is free of secrets."""

    to: WebhookTarget
    digest: str
    task_id: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The callback is stored. Its attempt is due now if there is a task to look up."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class DuplicateDelivery:
    """The same callback is stored already."""


@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """The attempt has too many callbacks, so no more are stored."""


def token_digest(token: str) -> str:
    """Return what the ledger stores of an attempt's callback token: its SHA-256, so that a reader of the ledger learns
    no address."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def message(to: WebhookTarget, body: bytes, *, task_id: str | None, secrets: tuple[str, ...] = ()) -> Message:
    """Return a callback ready to be stored. `secrets` (its token, which some providers repeat) are removed from its
    body.

    The digest is of the attempt and the bytes, and of no header, because the same bytes with another `webhook-id` are a
    replay.
    """
    digest = hashlib.sha256(to.attempt_id.encode() + b"\n" + body).hexdigest()
    return Message(to, digest, task_id, scrub(body.decode("utf-8", "replace"), secrets=secrets))


def targets(connection: Connection, digests: Collection[str]) -> dict[str, WebhookTarget]:
    """Return the targets of the addresses, by digest; unknown addresses are left out."""
    table = tables.attempts
    query = select(table.c.callback_digest, table.c.attempt_id, table.c.account, table.c.provider)
    rows = connection.execute(query.where(table.c.callback_digest.in_(list(digests))))
    return {row.callback_digest: WebhookTarget(row.attempt_id, row.account, row.provider) for row in rows}


def classify_callback(connection: Connection, delivery: Message) -> DuplicateDelivery | QuotaExceeded | None:
    """Return why a callback is not stored; None if it is. Reads only, so that a flood of known callbacks writes
    nothing."""
    table = tables.inbox
    if connection.execute(select(table.c.digest).where(table.c.digest == delivery.digest)).first() is not None:
        return DuplicateDelivery()
    of_attempt = table.c.attempt_id == delivery.to.attempt_id
    names = table.c.task_id.is_not(None)
    same_kind = names if delivery.task_id is not None else ~names
    rows = connection.execute(select(func.count()).select_from(table).where(of_attempt, same_kind)).scalar_one()
    if rows >= (MAX_UNNAMED if delivery.task_id is None else MAX_CALLBACK_LOOKUPS):
        return QuotaExceeded()
    others = select(table.c.task_id).where(of_attempt, names, table.c.task_id != delivery.task_id).distinct()
    if delivery.task_id is not None and len(connection.execute(others).all()) >= MAX_TASKS:
        return QuotaExceeded()
    return None


def receive(tx: LedgerTransaction, delivery: Message) -> Stored | DuplicateDelivery | QuotaExceeded:
    """Store one callback under its digest, and make its attempt due now. The body is left empty if it names a task that
    the ledger knows."""
    refusal = classify_callback(tx.connection, delivery)
    if refusal is not None:
        return refusal
    attempts = tables.attempts
    attempt = tx.connection.execute(
        select(attempts.c.task_id, attempts.c.submit_class).where(attempts.c.attempt_id == delivery.to.attempt_id)
    ).one()
    tx.connection.execute(
        insert(tables.inbox).values(
            digest=delivery.digest,
            attempt_id=delivery.to.attempt_id,
            account=delivery.to.account,
            received_at=tx.now_ms,
            task_id=delivery.task_id,
            looked_at=None,
            note="",
            body="" if delivery.task_id is not None and delivery.task_id == attempt.task_id else delivery.body,
        )
    )
    _make_due(tx, delivery, submit_class=attempt.submit_class)
    return Stored(delivery.to.attempt_id)


def named(connection: Connection, attempt_ids: Collection[str]) -> dict[str, list[str]]:
    """Return the tasks that callbacks named and that are not processed yet, without duplicates, first named first, by
    attempt."""
    table = tables.inbox
    query = (
        select(table.c.attempt_id, table.c.task_id)
        .where(table.c.attempt_id.in_(list(attempt_ids)), table.c.task_id.is_not(None), table.c.looked_at.is_(None))
        .order_by(table.c.received_at, table.c.digest)
    )
    tasks_by_attempt: dict[str, list[str]] = {}
    for row in connection.execute(query):
        tasks = tasks_by_attempt.setdefault(row.attempt_id, [])
        if row.task_id not in tasks:
            tasks.append(row.task_id)
    return tasks_by_attempt


def named_elsewhere(connection: Connection, account: str, task_id: str, *, than: str) -> bool:
    """Return whether a callback to the address of another attempt of the account names the same task."""
    table = tables.inbox
    others = (table.c.account == account) & (table.c.task_id == task_id) & (table.c.attempt_id != than)
    return connection.execute(select(table.c.digest).where(others).limit(1)).first() is not None


def mark_processed(tx: LedgerTransaction, attempt_id: str, task_id: str, *, note: str) -> None:
    """Record the result of looking up a task that callbacks named for an attempt."""
    table = tables.inbox
    unprocessed = and_(table.c.attempt_id == attempt_id, table.c.task_id == task_id, table.c.looked_at.is_(None))
    tx.connection.execute(update(table).where(unprocessed).values(looked_at=tx.now_ms, note=note))


def refusals(connection: Connection, attempt_ids: Collection[str]) -> dict[str, str]:
    """Return which tasks callbacks named for attempts and why they were refused, in words, newest look first; only for
    attempts with refused tasks."""
    if not attempt_ids:
        return {}
    table = tables.inbox
    newest = func.max(table.c.looked_at).label("newest")
    query = select(table.c.attempt_id, table.c.task_id, table.c.note, newest).where(
        table.c.attempt_id.in_(list(attempt_ids)), table.c.looked_at.is_not(None)
    )
    query = query.group_by(table.c.attempt_id, table.c.task_id, table.c.note)
    messages: dict[str, list[str]] = {}
    for row in connection.execute(query.order_by(newest.desc(), table.c.task_id)):
        messages.setdefault(row.attempt_id, []).append(f"a callback named task {row.task_id}: {row.note}")
    return {attempt_id: "; ".join(refused[:MAX_REPORTED]) for attempt_id, refused in messages.items()}


def _make_due(tx: LedgerTransaction, delivery: Message, *, submit_class: str) -> None:
    attempt_id = delivery.to.attempt_id
    state = transitions.state_of(tx, attempt_id)
    if state in ENDED and (state is S.WRITTEN_OFF or submit_class != "A"):  # class A finds its task by its key again
        if _is_new_task(tx, delivery):
            transitions.schedule(tx, attempt_id, account=delivery.to.account, due_at=tx.now_ms, while_in=ENDED)
        return
    if state not in SCHEDULED:
        return  # being sent, or ended: the worker that ends the lease reads the inbox
    table = tables.schedule
    later = (table.c.attempt_id == attempt_id) & (table.c.due_at > tx.now_ms)
    if state is S.SUCCEEDED:
        later &= table.c.owner == ""  # a file that is being fetched must not be fetched twice
    elif state is S.IN_DOUBT and submit_class != "A":
        if _is_new_task(tx, delivery):
            transitions.schedule(tx, attempt_id, account=delivery.to.account, due_at=tx.now_ms)
        return  # a task named before has its own schedule; without a task there is nothing to look up
    tx.connection.execute(update(table).where(later).values(due_at=tx.now_ms))


def _is_new_task(tx: LedgerTransaction, delivery: Message) -> bool:
    table = tables.inbox
    before = and_(
        table.c.attempt_id == delivery.to.attempt_id,
        table.c.task_id == delivery.task_id,
        table.c.digest != delivery.digest,
    )
    known = tx.connection.execute(select(table.c.digest).where(before).limit(1)).first()
    return delivery.task_id is not None and known is None
