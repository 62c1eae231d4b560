"""Compare the ledger's attempts of one account with a statement of the account's provider. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.units import amount_micros, from_micros, units_micros
from extend_pipeline.engine.reconcile.invoice.rows import ROUNDED_BY
from extend_pipeline.ledger.read.reconciliation_queries import ChargedAttempt
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict

S = AttemptState

_RUNNING: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING})
_FREE: Final = frozenset({S.RELEASED, S.REJECTED})


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One task on a provider's statement. `micros` (micro-units) is None where the statement gives no amount, since the
    task is running or the body has no figure. `ended`: the task is over. `early`: it is dated before the account's
    first claim. `amount_micros` is the amount in millionths of the currency where `micros` was computed from it at
    today's price."""

    task_id: str
    micros: int | None
    ended: bool = True
    note: str = ""
    early: bool = False
    amount_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A provider's statement of one account. `name` is list, billing or invoice. A task that was made and ended between
    `from_ms` and `to_ms` (UTC ms) and is not among `lines` is known to be missing only where the statement is
    `complete`. Tasks in `no_extensions` are known to be other products; the operator has accepted those in `accepted`.
    Attempts in `outranked` have their amount from a statement of higher rank."""

    name: str
    lines: Mapping[str, StatementLine]
    from_ms: int
    to_ms: int
    complete: bool
    no_extensions: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()
    outranked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdicts and the changes that follow. `to_book` is the billed amount in micro-units by attempt, where it
    differs from the booked one or settles an open one. `unmatched` are tasks that no attempt holds. `complete`: an
    attempt that the statement doesn't show was taken to be missing there."""

    source: str
    items: tuple[ReconciliationItem, ...]
    to_book: Mapping[str, int]
    unmatched: tuple[StatementLine, ...]
    complete: bool = True


def compare_statement(statement: Statement, attempts: Iterable[ChargedAttempt], *, unit: str) -> Comparison:
    """Compare one account's attempts with one statement."""
    attempts = list(attempts)
    held = {attempt.task_id for attempt in attempts if attempt.task_id is not None}
    unmatched = tuple(line for task_id, line in sorted(statement.lines.items()) if task_id not in held)
    if statement.name == "invoice" and len(unmatched) == len(statement.lines):
        statement = replace(statement, complete=False)  # none of its tasks is ours: it may be another account's
    items: list[ReconciliationItem] = []
    to_book: dict[str, int] = {}
    for attempt in attempts:
        if attempt.task_id is None:
            item, micros = _without_task(statement, attempt, unmatched)
        elif (line := statement.lines.get(attempt.task_id)) is not None:
            item, micros = _on_statement(statement, attempt, _in_its_own_units(attempt, line))
        else:
            item, micros = _not_on_statement(statement, attempt)
        if item is not None:
            items.append(item)
        if micros is not None:
            to_book[attempt.attempt_id] = micros
    items += [
        ReconciliationItem(
            task_id=line.task_id,
            verdict=ReconciliationVerdict.OTHER
            if _is_unrelated(statement, line)
            else ReconciliationVerdict.UPSTREAM_ONLY,
            attempt_id=None,
            unit=unit,
            ledger_micros=None,
            upstream_micros=line.micros,
            note=line.note,
        )
        for line in unmatched
    ]
    return Comparison(statement.name, tuple(items), to_book, unmatched, statement.complete)


def _is_unrelated(statement: Statement, line: StatementLine) -> bool:
    """Return whether an unmatched task needs no decision: it is no extension, is older than the first claim, or costs
    nothing on a bill."""
    free = statement.name != "list" and line.micros is not None and line.micros <= 0
    return line.early or line.task_id in statement.no_extensions or free


def _in_its_own_units(attempt: ChargedAttempt, line: StatementLine) -> StatementLine:
    """Convert an amount of money into the attempt's own units at the price of its claim. Return the booked units where
    the difference is within the rounding of the amount."""
    if not line.amount_micros or not attempt.unit_price_micros:
        return line
    booked = amount_micros(units_micros=attempt.booked_micros, unit_price_micros=attempt.unit_price_micros)
    if abs(booked - line.amount_micros) <= _rounded_by(line.amount_micros):
        return replace(line, micros=attempt.booked_micros)
    own = units_micros(amount_micros=line.amount_micros, unit_price_micros=attempt.unit_price_micros)
    return replace(line, micros=own)


def _rounded_by(amount: int) -> int:
    """Return half of an amount's last decimal place; half a cent where it has two decimals or fewer."""
    place = 1
    while place < 2 * ROUNDED_BY and amount % (place * 10) == 0:
        place *= 10
    return place // 2


def _on_statement(
    statement: Statement, attempt: ChargedAttempt, line: StatementLine
) -> tuple[ReconciliationItem, int | None]:
    if attempt.state in _RUNNING or not line.ended:
        return _item(attempt, ReconciliationVerdict.OPEN, line.micros, "not ended yet"), None
    if line.micros is None:
        return _item(attempt, ReconciliationVerdict.MATCHED, None, line.note or "the provider gives no amount"), None
    if statement.name == "billing" and (attempt.ended_ms is None or attempt.ended_ms >= statement.to_ms):
        # a charge on several packs has several lines, and returned units have a line of their own
        return _item(
            attempt, ReconciliationVerdict.OPEN, line.micros, "too recent: the bill need not have all of its lines yet"
        ), None
    if line.micros < 0:
        back = from_micros(-line.micros)
        note = (
            f"the {statement.name} gives back {back} {attempt.unit} and doesn't show what was taken: get one with both"
        )
        return _item(attempt, ReconciliationVerdict.DIFFERENT_AMOUNT, line.micros, note), None
    if attempt.attempt_id in statement.outranked and line.micros != attempt.booked_micros:
        note = f"the {statement.name} shows {from_micros(line.micros)} {attempt.unit}; what was billed counts"
        return _item(attempt, ReconciliationVerdict.MATCHED, line.micros, note), None
    if not attempt.is_settled:
        note = f"the failed task was billed {from_micros(line.micros)} {attempt.unit}; the reservation is settled by it"
        return _item(attempt, ReconciliationVerdict.MATCHED, line.micros, note), line.micros
    if line.micros == attempt.booked_micros:
        return _item(attempt, ReconciliationVerdict.MATCHED, line.micros, ""), None
    booked, billed = from_micros(attempt.booked_micros), from_micros(line.micros)
    note = f"{booked} {attempt.unit} were booked, {billed} are billed; the ledger is adjusted"
    if line.micros < attempt.booked_micros:  # reported once, by engine/polling/deductions.py
        return _item(attempt, ReconciliationVerdict.MATCHED, line.micros, note), line.micros
    return _item(attempt, ReconciliationVerdict.DIFFERENT_AMOUNT, line.micros, note), line.micros


def _not_on_statement(statement: Statement, attempt: ChargedAttempt) -> tuple[ReconciliationItem | None, int | None]:
    """Return the verdict on an attempt that a statement lacks: none unless a complete statement must show it."""
    inside = attempt.is_within(statement.from_ms, statement.to_ms)
    if attempt.state in _FREE or attempt.state in _RUNNING or not statement.complete or not inside:
        return None, None
    if not attempt.is_settled:
        if statement.name == "list":  # a list shows what ran, not what was billed
            return None, None
        return _item(
            attempt, ReconciliationVerdict.MATCHED, 0, "the failed task was not billed; its reservation is given back"
        ), 0
    if not attempt.booked_micros:
        return _item(attempt, ReconciliationVerdict.MATCHED, None, "nothing is booked, and nothing is shown"), None
    booked = f"{from_micros(attempt.booked_micros)} {attempt.unit} are booked"
    note = f"{booked}, and the provider's {statement.name} doesn't show it"
    return _item(attempt, ReconciliationVerdict.LEDGER_ONLY, None, note), None


def _without_task(
    statement: Statement, attempt: ChargedAttempt, unmatched: tuple[StatementLine, ...]
) -> tuple[ReconciliationItem | None, int | None]:
    """Return the verdict of a bill on an attempt that was written off in doubt: nothing was charged where the complete
    bill has no task that could be its own. An unmatched task that the operator has accepted could still belong to this
    attempt, so the charge stays."""
    if statement.name == "list" or attempt.state is not S.WRITTEN_OFF or not attempt.booked_micros:
        return None, None
    if not statement.complete or not attempt.is_within(statement.from_ms, statement.to_ms):
        return None, None
    possible = [line.task_id for line in unmatched if not _is_unrelated(statement, line)]
    unknown = [task_id for task_id in possible if task_id not in statement.accepted]
    if unknown:
        note = f"written off in doubt; it may be one of these billed tasks: {', '.join(unknown[:5])}"
        return _item(attempt, ReconciliationVerdict.LEDGER_ONLY, None, note), None
    if possible:
        note = f"written off in doubt; its charge stands for a task that was accepted: {', '.join(possible[:5])}"
        return _item(attempt, ReconciliationVerdict.MATCHED, None, note), None
    return _item(
        attempt,
        ReconciliationVerdict.MATCHED,
        0,
        "written off in doubt, and no task was billed; the charge is given back",
    ), 0


def _item(
    attempt: ChargedAttempt, verdict: ReconciliationVerdict, upstream: int | None, note: str
) -> ReconciliationItem:
    return ReconciliationItem(
        # an attempt that was written off without a task is named by its own id
        task_id=attempt.task_id or f"attempt:{attempt.attempt_id}",
        verdict=verdict,
        attempt_id=attempt.attempt_id,
        unit=attempt.unit,
        ledger_micros=attempt.booked_micros,
        upstream_micros=upstream,
        note=note,
    )
