"""The changes by a comparison with a provider's statements: adopted tasks, corrected charges and the comparison itself,
all as events."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import func, select

from extend_pipeline.base.days import UTC_ZONE, day_of
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import ADOPTED
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.transitions import Moved, Stale

RANKS: Final = ("list", "billing", "invoice")
"""Statements by rank, for different amounts: a list shows the planned charge of a task, a bill the charge taken, an
invoice the amount to pay."""

ROWS_AN_EVENT: Final = 500  # an event is one row; a month's invoice of 10,000 tasks is twenty


class ReconciliationVerdict(StrEnum):
    """The result for one task in the ledger and a statement."""

    MATCHED = "matched"
    DIFFERENT_AMOUNT = "different_amount"
    LEDGER_ONLY = "ledger_only"  # we booked a charge that the provider doesn't show
    UPSTREAM_ONLY = "upstream_only"  # the provider shows a task that no attempt of ours holds
    OTHER = "other"  # billed to the account, and no extension: a bill holds every kind of task
    ACCEPTED = "accepted"  # an operator has acknowledged the difference
    OPEN = "open"  # not ended yet, or too young for the provider's statement


DISAGREEMENTS: Final = frozenset(
    {ReconciliationVerdict.DIFFERENT_AMOUNT, ReconciliationVerdict.LEDGER_ONLY, ReconciliationVerdict.UPSTREAM_ONLY}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationItem:
    """One task in the ledger and a statement; micro-units, None if one of them doesn't show the amount."""

    task_id: str
    verdict: ReconciliationVerdict
    attempt_id: str | None
    unit: str
    ledger_micros: int | None
    upstream_micros: int | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedTask:
    """A task on a statement that the ledger doesn't know. Prices in micro-units and millionths of the currency.
    `predicted_micros` are reserved until the charge is known, on the budget day of `zone` on which the task was created
    (`created_ms`, UTC), or today if that is unknown."""

    account: str
    provider: str
    submit_class: str
    task_id: str
    external_task_id: str
    parent_video_id: str
    parent_duration_ms: int | None
    unit: str
    predicted_micros: int
    unit_price_micros: int
    currency: str
    failed_tasks_charged: str
    created_ms: int | None = None
    zone: str = UTC_ZONE


def adopted_key(account: str, task_id: str) -> str:
    """Return the video key of an adopted task. A key of the catalogue can't contain a colon."""
    return f"{ADOPTED}:{account}:{task_id}"


def adopt_unmatched(tx: LedgerTransaction, task: UnmatchedTask) -> Moved | Stale:
    """Adopt a task as an attempt of its own that is polled, booked and fetched like any other. Return Stale if an
    attempt of the account has the task."""
    digest = hashlib.sha256(f"{task.account}\0{task.task_id}".encode("utf-8", "surrogatepass")).hexdigest()
    attempt_id = f"{ADOPTED}-{digest[:32]}"
    holder = tx.rows.holder(task.account, task.task_id)
    if holder is not None:
        return Stale(holder, transitions.state_of(tx, holder))
    key = adopted_key(task.account, task.task_id)
    row = asdict(task)
    del row["account"], row["created_ms"], row["zone"]
    made_ms = tx.now_ms if task.created_ms is None else min(task.created_ms, tx.now_ms)
    data = {
        **row,
        "sending_at": made_ms,
        "hop": 1,
        "generation": 1,
        "try_no": 1,
        "chain_digest": ADOPTED,
        "params": "{}",
        "request": "{}",
        "budget_day": day_of(made_ms, task.zone),
        "owner": "",
        "lease_until": 0,
    }
    tx.append("attempt_adopted", attempt_id=attempt_id, video_key=key, account=task.account, data=data)
    transitions.schedule(tx, attempt_id, account=task.account, due_at=tx.now_ms)
    return Moved(attempt_id, S.SUBMITTED)


def book_billed(tx: LedgerTransaction, attempt_id: str, *, micros: int) -> int:
    """Change the units booked for an ended attempt to the billed ones. Return the difference in micro-units (0: nothing
    was written). A failed attempt with a reservation is settled; any other is adjusted."""
    row = tx.rows.attempt(attempt_id)
    if row is None:
        raise LookupError(f"there is no attempt {attempt_id}")
    place: dict[str, Any] = {"attempt_id": attempt_id, "video_key": row.video_key, "account": row.account}
    if row.settled_micros is None:
        if row.state is not S.FAILED:
            raise ValueError(f"attempt {attempt_id} is {row.state}: there is nothing to settle yet")
        tx.append("charge_settled", **place, data={"micros": micros, "basis": "billed"})
        return micros - row.predicted_micros
    difference = micros - booked_micros(tx, attempt_id)
    if difference:
        tx.append("charge_adjusted", **place, data={"micros": difference, "basis": "billed"})
    return difference


def booked_micros(tx: LedgerTransaction, attempt_id: str) -> int:
    """Return the micro-units booked for an attempt: reservation or settlement, with its adjustments."""
    table = tables.charges
    total = select(func.coalesce(func.sum(table.c.micros), 0)).where(table.c.attempt_id == attempt_id)
    return int(tx.connection.execute(total).scalar_one())


def record(
    tx: LedgerTransaction,
    *,
    account: str,
    source: str,
    compared: Sequence[ReconciliationItem],
    only_counted: Collection[str] = (),
) -> None:
    """Record a comparison; the newest result for a task replaces an earlier one. Unchanged results are not written,
    and neither are `only_counted` tasks without an earlier result."""
    table = tables.reconciliations
    of_statement = select(table).where(table.c.account == account, table.c.source == source)
    known = {row.task_id: row for row in tx.connection.execute(of_statement)}
    changed = [asdict(item) for item in compared if _is_changed(known, item, only_counted)]
    for start in range(0, len(changed), ROWS_AN_EVENT):
        rows = changed[start : start + ROWS_AN_EVENT]
        tx.append("reconciled", account=account, data={"source": source, "rows": rows})


def _is_changed(known: Mapping[str, Any], item: ReconciliationItem, only_counted: Collection[str]) -> bool:
    row = known.get(item.task_id)
    return not _same(row, item) and (row is not None or item.task_id not in only_counted)


def close_questions(tx: LedgerTransaction, *, account: str, compared: ReconciliationItem, why: str) -> None:
    """Close every open difference about a task that an operator has identified as this home's."""
    table = tables.reconciliations
    of_task = select(table.c.source).where(table.c.account == account, table.c.task_id == compared.task_id)
    row = {**asdict(compared), "verdict": ReconciliationVerdict.OPEN.value, "note": f"{compared.note}; {why}"}
    for source in sorted(tx.connection.execute(of_task).scalars()):
        tx.append("reconciled", account=account, data={"source": source, "rows": [row]})


def accept(tx: LedgerTransaction, *, account: str, source: str, task_id: str, why: str) -> bool:
    """Acknowledge one difference by an operator's decision: it is not reported again while it stays the same. Return
    False if there is no such difference.

    A charge that only the ledger shows is released, because the provider doesn't bill it; but not because of a list,
    which is no bill, nor if another bill shows it.
    """
    table = tables.reconciliations
    same = (table.c.account == account) & (table.c.source == source) & (table.c.task_id == task_id)
    row = tx.connection.execute(select(table).where(same)).first()
    if row is None or ReconciliationVerdict(row.verdict) not in DISAGREEMENTS:
        return False
    if (
        ReconciliationVerdict(row.verdict) is ReconciliationVerdict.LEDGER_ONLY
        and source != RANKS[0]
        and not _billed_elsewhere(tx, row)
    ):
        book_billed(tx, row.attempt_id, micros=0)
    columns = {name: getattr(row, name) for name in ReconciliationItem.__slots__}
    accepted = {**columns, "verdict": ReconciliationVerdict.ACCEPTED.value, "note": f"{row.note}; accepted: {why}"}
    tx.append("reconciled", account=account, data={"source": source, "rows": [accepted]})
    return True


def _billed_elsewhere(tx: LedgerTransaction, row: Any) -> bool:
    table = tables.reconciliations
    others = select(table.c.task_id).where(
        table.c.account == row.account,
        table.c.attempt_id == row.attempt_id,
        table.c.source.in_(RANKS[1:]),
        table.c.source != row.source,
        table.c.upstream_micros > 0,
    )
    return tx.connection.execute(others.limit(1)).first() is not None


def _same(row: Any, item: ReconciliationItem) -> bool:
    """Return whether a comparison has the same result as before. An acknowledged difference stays acknowledged while
    the amounts stay the same; an unmatched task stays so at any amount."""
    if row is None:
        return False
    if ReconciliationVerdict(row.verdict) is ReconciliationVerdict.ACCEPTED and item.verdict in DISAGREEMENTS | {
        ReconciliationVerdict.ACCEPTED
    }:
        return bool(row.upstream_micros == item.upstream_micros or (row.attempt_id is None and item.attempt_id is None))
    return all(getattr(row, name) == value for name, value in asdict(item).items())
