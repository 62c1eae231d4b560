"""What a comparison with a provider's books changes here: orphans that are taken over, charges that are mended, and the
comparison itself, all as events."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import func, select

from extend_pipeline.base.days import NO_ZONE, day_of
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.attempt_row import ADOPTED
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.transitions import Moved, Stale

S = AttemptState

RANKS: Final = ("list", "billing", "invoice")
"""Books by how much they count where they tell different amounts: a list tells what a task was to cost, a bill what was
taken, an invoice what is paid."""

ROWS_AN_EVENT: Final = 500  # an event is one row; a month's invoice of 10,000 tasks is twenty


class ReconciliationVerdict(StrEnum):
    """How one task stands in both books."""

    MATCHED = "matched"
    DIFFERENT_AMOUNT = "different_amount"
    LEDGER_ONLY = "ledger_only"  # we booked a charge that the provider doesn't show
    UPSTREAM_ONLY = "upstream_only"  # the provider shows a task that no attempt of ours holds
    OTHER = "other"  # billed to the account, and no extension: a bill holds what else was made there
    ACCEPTED = "accepted"  # a person has looked at the difference and let it be
    OPEN = "open"  # not ended yet, or too young for the provider's books


DISAGREEMENTS: Final = frozenset(
    {ReconciliationVerdict.DIFFERENT_AMOUNT, ReconciliationVerdict.LEDGER_ONLY, ReconciliationVerdict.UPSTREAM_ONLY}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationItem:
    """One task in both books; micro-units, None where a book doesn't say."""

    task_id: str
    verdict: ReconciliationVerdict
    attempt_id: str | None
    unit: str
    ledger_micros: int | None
    upstream_micros: int | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A task that the account shows and the ledger doesn't know. Prices in micro-units and millionths of the currency;
    `predicted_micros` is what is reserved until it is known what it cost, on the day of `zone` that it was made on
    (`created_ms`, UTC) where that is known."""

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
    zone: str = NO_ZONE


def orphan_key(account: str, task_id: str) -> str:
    """Return the video key of an orphan. No video of a catalogue can have one with a colon."""
    return f"{ADOPTED}:{account}:{task_id}"


def adopt_orphan(tx: LedgerTransaction, orphan: Orphan) -> Moved | Stale:
    """Take a task over as an attempt of its own that is polled, booked and fetched like any. Stale where an attempt of
    the account holds it already."""
    table = tables.attempts
    digest = hashlib.sha256(f"{orphan.account}\0{orphan.task_id}".encode("utf-8", "surrogatepass")).hexdigest()
    attempt_id = f"{ADOPTED}-{digest[:32]}"
    same = (table.c.account == orphan.account) & (table.c.task_id == orphan.task_id)
    holder = tx.connection.execute(select(table.c.attempt_id, table.c.state).where(same)).first()
    if holder is not None:
        return Stale(holder.attempt_id, S(holder.state))
    key = orphan_key(orphan.account, orphan.task_id)
    row = asdict(orphan)
    del row["account"], row["created_ms"], row["zone"]
    made_ms = tx.now_ms if orphan.created_ms is None else min(orphan.created_ms, tx.now_ms)
    data = {
        **row,
        "sending_at": made_ms,
        "hop": 1,
        "generation": 1,
        "try_no": 1,
        "chain_digest": ADOPTED,
        "params": "{}",
        "request": "{}",
        "budget_day": day_of(made_ms, orphan.zone),
        "owner": "",
        "lease_until": 0,
    }
    tx.append("attempt_adopted", attempt_id=attempt_id, video_key=key, account=orphan.account, data=data)
    transitions.schedule(tx, attempt_id, account=orphan.account, due_at=tx.now_ms)
    return Moved(attempt_id, S.SUBMITTED)


def book_billed(tx: LedgerTransaction, attempt_id: str, *, micros: int) -> int:
    """Bring what is booked for an ended attempt to what was billed; answers the difference in micro-units (0: nothing
    was written). A failed attempt that still holds its reservation is settled; anything else is adjusted."""
    row = tx.connection.execute(select(tables.attempts).where(tables.attempts.c.attempt_id == attempt_id)).one()
    place: dict[str, Any] = {"attempt_id": attempt_id, "video_key": row.video_key, "account": row.account}
    if row.settled_micros is None:
        if S(row.state) is not S.FAILED:
            raise ValueError(f"attempt {attempt_id} is {row.state}: there is nothing to settle yet")
        tx.append("charge_settled", **place, data={"micros": micros, "basis": "billed"})
        return micros - int(row.predicted_micros)
    difference = micros - booked_micros(tx, attempt_id)
    if difference:
        tx.append("charge_adjusted", **place, data={"micros": difference, "basis": "billed"})
    return difference


def booked_micros(tx: LedgerTransaction, attempt_id: str) -> int:
    """Return what stands in the books for an attempt: reservation or settlement, with its adjustments."""
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
    """Write a comparison down; the newest word about a task replaces an earlier one. What has not changed is left, and
    so is a task that is `only_counted`, unless something was said of it before."""
    table = tables.reconciliations
    mine = select(table).where(table.c.account == account, table.c.source == source)
    known = {row.task_id: row for row in tx.connection.execute(mine)}
    news = [asdict(each) for each in compared if _is_news(known, each, only_counted)]
    for start in range(0, len(news), ROWS_AN_EVENT):
        tx.append("reconciled", account=account, data={"source": source, "rows": news[start : start + ROWS_AN_EVENT]})


def _is_news(known: Mapping[str, Any], each: ReconciliationItem, only_counted: Collection[str]) -> bool:
    row = known.get(each.task_id)
    return not _same(row, each) and (row is not None or each.task_id not in only_counted)


def close_questions(tx: LedgerTransaction, *, account: str, compared: ReconciliationItem, why: str) -> None:
    """Close every question about a task that a person has said is ours."""
    table = tables.reconciliations
    mine = select(table.c.source).where(table.c.account == account, table.c.task_id == compared.task_id)
    row = {**asdict(compared), "verdict": ReconciliationVerdict.OPEN.value, "note": f"{compared.note}; {why}"}
    for source in sorted(tx.connection.execute(mine).scalars()):
        tx.append("reconciled", account=account, data={"source": source, "rows": [row]})


def accept(tx: LedgerTransaction, *, account: str, source: str, task_id: str, why: str) -> bool:
    """Return a person's word about one difference: it is known, and not told again while it stays the same. What only
    the ledger has booked is given back, since nobody bills it; but not by the word of a list, which is no bill, nor
    where another bill shows it. False where there is no such difference."""
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


def _same(row: Any, each: ReconciliationItem) -> bool:
    """Return whether a comparison says nothing new. What a person has accepted stays accepted while the amounts stay,
    and a task that is nobody's here whatever it comes to cost."""
    if row is None:
        return False
    if ReconciliationVerdict(row.verdict) is ReconciliationVerdict.ACCEPTED and each.verdict in DISAGREEMENTS | {
        ReconciliationVerdict.ACCEPTED
    }:
        return bool(row.upstream_micros == each.upstream_micros or (row.attempt_id is None and each.attempt_id is None))
    return all(getattr(row, name) == value for name, value in asdict(each).items())
