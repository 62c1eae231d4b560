"""Holds the ledger's attempts of one account against what the account's provider shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.units import amount_micros, from_micros, units_micros
from extend_pipeline.engine.reconcile.invoice.rows import ROUNDED_BY
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict

S = AttemptState

_RUNNING: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING})
_FREE: Final = frozenset({S.RELEASED, S.REJECTED})


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One task as the provider's book shows it. `micros` is None where the book tells no amount (a task that runs, or a
    body without a figure); `ended` whether it says that the task is over, `early` whether it is dated before the
    account's first claim. `amount_micros` is what it tells in millionths of the currency, where `micros` was reckoned
    from that at today's price."""

    task_id: str
    micros: int | None
    ended: bool = True
    note: str = ""
    early: bool = False
    amount_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a provider shows of an account. `name` is list, billing or invoice. A task that was made and ended between
    `from_ms` and `to_ms` (UTC ms) and is not among `shown` is not in the book, but only where it is `complete`. Tasks
    in `no_extensions` are known to be the account's for something else, a person has let those in `accepted` be.
    Attempts in `outranked` have their amount from a book that counts for more."""

    name: str
    shown: Mapping[str, StatementLine]
    from_ms: int
    to_ms: int
    complete: bool
    no_extensions: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()
    outranked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One attempt as the ledger has it. `booked_micros` is what stands in the books for it now: reservation, or
    settlement with adjustments. `settled` is False where a failed task still holds its reservation. `price_micros` is
    what a unit cost when it was claimed, in millionths of the currency."""

    attempt_id: str
    task_id: str | None
    state: AttemptState
    unit: str
    booked_micros: int
    settled: bool
    sent_ms: int | None
    ended_ms: int | None
    price_micros: int

    def is_within(self, from_ms: int, to_ms: int) -> bool:
        """Return whether it was made and ended in a period, so that a book of that period must have it."""
        if self.sent_ms is None or self.ended_ms is None:
            return False
        return from_ms <= self.sent_ms and self.ended_ms < to_ms


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdicts, and what the ledger should do: `to_book` is what was billed in micro-units by attempt, where that
    differs from what is booked or settles what was open; `strangers` are tasks that no attempt holds; `complete` says
    whether what the book lacks was held to mean anything."""

    source: str
    compared: tuple[ReconciliationItem, ...]
    to_book: Mapping[str, int]
    strangers: tuple[StatementLine, ...]
    complete: bool = True


def compare_statement(book: Statement, booked: Iterable[LedgerLine], *, unit: str) -> Comparison:
    """Compare one account's attempts with one of its books."""
    booked = list(booked)
    held = {each.task_id for each in booked if each.task_id is not None}
    strangers = tuple(shown for task_id, shown in sorted(book.shown.items()) if task_id not in held)
    if book.name == "invoice" and len(strangers) == len(book.shown):
        book = replace(book, complete=False)  # none of its tasks is ours: it may well be another account's
    compared: list[ReconciliationItem] = []
    to_book: dict[str, int] = {}
    for each in booked:
        if each.task_id is None:
            told, micros = _without_task(book, each, strangers)
        elif (shown := book.shown.get(each.task_id)) is not None:
            told, micros = _on_statement(book, each, _in_its_own_units(each, shown))
        else:
            told, micros = _not_on_statement(book, each)
        if told is not None:
            compared.append(told)
        if micros is not None:
            to_book[each.attempt_id] = micros
    for shown in strangers:
        compared.append(
            ReconciliationItem(
                task_id=shown.task_id,
                verdict=ReconciliationVerdict.OTHER
                if _is_unrelated(book, shown)
                else ReconciliationVerdict.UPSTREAM_ONLY,
                attempt_id=None,
                unit=unit,
                ledger_micros=None,
                upstream_micros=shown.micros,
                note=shown.note,
            )
        )
    return Comparison(book.name, tuple(compared), to_book, strangers, book.complete)


def _is_unrelated(book: Statement, shown: StatementLine) -> bool:
    """Return whether nobody need look at a stranger: it is no extension, older than our work, or costs nothing by a
    bill."""
    free = book.name != "list" and shown.micros is not None and shown.micros <= 0
    return shown.early or shown.task_id in book.no_extensions or free


def _in_its_own_units(each: LedgerLine, shown: StatementLine) -> StatementLine:
    """Return an amount of money in the attempt's own units: at the price that it was claimed at, and as booked where
    the two differ by no more than the amount was rounded by."""
    if not shown.amount_micros or not each.price_micros:
        return shown
    booked = amount_micros(units_micros=each.booked_micros, unit_price_micros=each.price_micros)
    if abs(booked - shown.amount_micros) <= _rounded_by(shown.amount_micros):
        return replace(shown, micros=each.booked_micros)
    own = units_micros(amount_micros=shown.amount_micros, unit_price_micros=each.price_micros)
    return replace(shown, micros=own)


def _rounded_by(amount: int) -> int:
    """Half of an amount's last decimal, and half a cent where it has two or fewer."""
    place = 1
    while place < 2 * ROUNDED_BY and amount % (place * 10) == 0:
        place *= 10
    return place // 2


def _on_statement(book: Statement, each: LedgerLine, shown: StatementLine) -> tuple[ReconciliationItem, int | None]:
    if each.state in _RUNNING or not shown.ended:
        return _item(each, ReconciliationVerdict.OPEN, shown.micros, "not ended yet"), None
    if shown.micros is None:
        return _item(each, ReconciliationVerdict.MATCHED, None, shown.note or "the provider tells no amount"), None
    if book.name == "billing" and (each.ended_ms is None or each.ended_ms >= book.to_ms):
        # what comes out of several packs has several lines, and units that are given back have one of their own
        return _item(
            each, ReconciliationVerdict.OPEN, shown.micros, "too young: not all of its lines need be in the bill yet"
        ), None
    if shown.micros < 0:
        back = from_micros(-shown.micros)
        note = f"the {book.name} gives back {back} {each.unit} and doesn't show what was taken: get one with both"
        return _item(each, ReconciliationVerdict.DIFFERENT_AMOUNT, shown.micros, note), None
    if each.attempt_id in book.outranked and shown.micros != each.booked_micros:
        note = f"the {book.name} tells {from_micros(shown.micros)} {each.unit}; what was billed counts"
        return _item(each, ReconciliationVerdict.MATCHED, shown.micros, note), None
    if not each.settled:
        note = f"the failed task was billed {from_micros(shown.micros)} {each.unit}; the reservation is settled by it"
        return _item(each, ReconciliationVerdict.MATCHED, shown.micros, note), shown.micros
    if shown.micros == each.booked_micros:
        return _item(each, ReconciliationVerdict.MATCHED, shown.micros, ""), None
    here, there = from_micros(each.booked_micros), from_micros(shown.micros)
    note = f"{here} {each.unit} were booked, {there} are billed; the books are adjusted"
    if shown.micros < each.booked_micros:  # nobody need look: the price is told once, see engine/polling/deductions.py
        return _item(each, ReconciliationVerdict.MATCHED, shown.micros, note), shown.micros
    return _item(each, ReconciliationVerdict.DIFFERENT_AMOUNT, shown.micros, note), shown.micros


def _not_on_statement(book: Statement, each: LedgerLine) -> tuple[ReconciliationItem | None, int | None]:
    """Return what it means that a book does not show an attempt: nothing, unless the book is whole and must have it."""
    inside = each.is_within(book.from_ms, book.to_ms)
    if each.state in _FREE or each.state in _RUNNING or not book.complete or not inside:
        return None, None
    if not each.settled:
        if book.name == "list":  # a list tells what ran, not what was billed
            return None, None
        return _item(
            each, ReconciliationVerdict.MATCHED, 0, "the failed task was not billed; its reservation is given back"
        ), 0
    if not each.booked_micros:
        return _item(each, ReconciliationVerdict.MATCHED, None, "nothing is booked, and nothing is shown"), None
    note = f"{from_micros(each.booked_micros)} {each.unit} are booked, and the provider's {book.name} doesn't show it"
    return _item(each, ReconciliationVerdict.LEDGER_ONLY, None, note), None


def _without_task(
    book: Statement, each: LedgerLine, strangers: tuple[StatementLine, ...]
) -> tuple[ReconciliationItem | None, int | None]:
    """Return what a bill says of an attempt that was given up in doubt: nothing was charged where the whole bill holds
    no task that may be it. A task that a person has let be may be it all the same, so the charge stays."""
    if book.name == "list" or each.state is not S.WRITTEN_OFF or not each.booked_micros:
        return None, None
    if not book.complete or not each.is_within(book.from_ms, book.to_ms):
        return None, None
    possible = [shown.task_id for shown in strangers if not _is_unrelated(book, shown)]
    unknown = [task_id for task_id in possible if task_id not in book.accepted]
    if unknown:
        note = f"given up in doubt; it may be one of these billed tasks: {', '.join(unknown[:5])}"
        return _item(each, ReconciliationVerdict.LEDGER_ONLY, None, note), None
    if possible:
        note = f"given up in doubt; its charge stands for a task that was accepted: {', '.join(possible[:5])}"
        return _item(each, ReconciliationVerdict.MATCHED, None, note), None
    return _item(
        each, ReconciliationVerdict.MATCHED, 0, "given up in doubt, and no task was billed; the charge is given back"
    ), 0


def _item(each: LedgerLine, verdict: ReconciliationVerdict, upstream: int | None, note: str) -> ReconciliationItem:
    return ReconciliationItem(
        # what was given up without ever being found has no id: it is named by its attempt
        task_id=each.task_id or f"attempt:{each.attempt_id}",
        verdict=verdict,
        attempt_id=each.attempt_id,
        unit=each.unit,
        ledger_micros=each.booked_micros,
        upstream_micros=upstream,
        note=note,
    )
