"""Brings the ledger to a provider's books: mends amounts, takes over tasks that nobody here knows, and writes down how
every task stands. Pays nothing: it looks, and books what was paid already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.config.accounts import Account
from extend_pipeline.config.price import Price
from extend_pipeline.engine.compare import Book, Booked, Comparison, Shown, compare
from extend_pipeline.engine.observe import stop_on_odd_deduction
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.ledger import reads, reconciling, transitions
from extend_pipeline.ledger.events import Writer
from extend_pipeline.ledger.reconciling import DISAGREEMENTS, Compared, Orphan, Verdict
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.transitions import Moved
from extend_pipeline.providers.outcomes import Absent, QueryOutcome, Seen, TaskView, Unanswered

S = AttemptState


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one comparison did. `adopted` are task ids, `adjusted_micros` the sum of what the books were changed by."""

    account: str
    source: str
    unit: str
    compared: tuple[Compared, ...]
    adopted: tuple[str, ...]
    adjusted_micros: int
    complete: bool
    notes: tuple[str, ...] = ()

    @property
    def disagreements(self) -> tuple[Compared, ...]:
        """What a person should look at."""
        return tuple(each for each in self.compared if each.verdict in DISAGREEMENTS)


def reconcile(
    pipeline: Pipeline, account_name: str, book: Book, *, seen: Mapping[str, TaskView] | None = None, adopt: bool = True
) -> Reconciled:
    """Compare one account with one of its provider's books and write down what follows. `seen` are tasks that the book
    came with; others that nobody here knows are asked for. With `adopt` off they are only told of."""
    account = pipeline.accounts[account_name]
    with pipeline.ledger.read() as connection:
        rows = reads.attempts_of_account(connection, account_name)
        sums = reads.booked(connection, account_name)
        others = reads.no_extensions(connection, account_name, book.name)
    by_id = {row.attempt_id: row for row in rows}
    book = replace(book, no_extensions=frozenset(others))
    found = compare(book, [booked_of(row, sums.get(row.attempt_id, 0)) for row in rows], unit=account.price.unit)
    ask = {each.task_id for each in found.compared if each.verdict is Verdict.UPSTREAM_ONLY}
    strangers = [shown for shown in found.strangers if shown.task_id in ask]
    views = {shown.task_id: _view(pipeline, account_name, shown, seen or {}) for shown in strangers}
    doubts = [row for row in rows if row.state == S.IN_DOUBT.value]
    failpoint("reconcile.before_write")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        adjusted = sum(_book(tx, account, by_id[each], micros) for each, micros in found.to_book.items())
        told, adopted = _strangers(tx, account, found, views, doubts, adopt=adopt and account.adopt_orphans)
        compared = [told.get(each.task_id, each) if each.attempt_id is None else each for each in found.compared]
        reconciling.record(tx, account=account_name, source=book.name, compared=compared)
    failpoint("reconcile.after_write")
    return Reconciled(
        account_name, book.name, account.price.unit, tuple(compared), tuple(adopted), adjusted, book.complete
    )


def booked_of(row: Row[Any], booked_micros: int) -> Booked:
    """A ledger row as a comparison sees it."""
    return Booked(
        attempt_id=row.attempt_id,
        task_id=row.task_id,
        state=S(row.state),
        unit=row.unit,
        booked_micros=booked_micros,
        settled=row.settled_micros is not None or row.state in (S.RELEASED.value, S.REJECTED.value),
        sent_ms=row.sending_at or row.submitted_at,
        # what was never found has no end of its own: it was charged, if at all, when it was sent
        ended_ms=row.sending_at if row.task_id is None else row.completed_at or row.finished_at,
    )


def dearest(price: Price) -> int:
    """The most that one extension can cost, in micro-units: what is reserved for a task of unknown mode."""
    amounts = price.per_extension_micros
    return amounts if isinstance(amounts, int) else max(amounts.values())


def _book(tx: Writer, account: Account, row: Row[Any], micros: int) -> int:
    before = reconciling.booked_micros(tx, row.attempt_id)
    difference = reconciling.book_billed(tx, row.attempt_id, micros=micros)
    if row.settled_micros is not None and row.task_id is not None:  # a failed task's bill is what was waited for
        stop_on_odd_deduction(tx, account, row, micros, expected=before)
    return difference


def _view(pipeline: Pipeline, account: str, shown: Shown, seen: Mapping[str, TaskView]) -> QueryOutcome:
    if shown.task_id in seen:
        return Seen(seen[shown.task_id])
    return pipeline.provider(account).query(shown.task_id)


def _strangers(
    tx: Writer,
    account: Account,
    found: Comparison,
    views: Mapping[str, QueryOutcome],
    doubts: Sequence[Row[Any]],
    *,
    adopt: bool,
) -> tuple[dict[str, Compared], list[str]]:
    """Decide about each task that nobody here knows; answers what is told of it, and which were adopted."""
    told: dict[str, Compared] = {}
    adopted: list[str] = []
    plain = {each.task_id: each for each in found.compared if each.attempt_id is None}
    for shown in found.strangers:
        mine = plain[shown.task_id]
        if mine.verdict is Verdict.OTHER:
            continue
        match views[shown.task_id]:
            case Absent() if found.source == "billing":
                told[shown.task_id] = replace(mine, verdict=Verdict.OTHER, note="billed, and no extension")
            case Absent(answer):
                note = f"the provider billed it and knows it no more: {answer.message}"
                told[shown.task_id] = replace(mine, note=note)
            case Unanswered(_, answer):
                told[shown.task_id] = replace(mine, note=f"it could not be looked at: {answer.message}; run it again")
            case Seen(view):
                told[shown.task_id], taken = _stranger(tx, account, shown, view, mine, doubts, adopt=adopt)
                adopted += [shown.task_id] * taken
    return told, adopted


def _stranger(
    tx: Writer,
    account: Account,
    shown: Shown,
    view: TaskView,
    mine: Compared,
    doubts: Sequence[Row[Any]],
    *,
    adopt: bool,
) -> tuple[Compared, bool]:
    for doubt in doubts:
        if view.external_task_id is not None and view.external_task_id == doubt.external_task_id:
            transitions.schedule(tx, doubt.attempt_id, account=account.name, due_at=tx.now_ms)
            note = f"it carries the key of {doubt.video_key}/{doubt.hop}, which is in doubt and looked up at once"
            return replace(mine, verdict=Verdict.OPEN, note=note), False
    for doubt in doubts:
        if view.external_task_id is None and view.parent_video_id in (None, doubt.parent_video_id):
            where = f"{doubt.video_key}/{doubt.hop}"
            note = f"it may be {where}, which is in doubt: extend-pipeline resolve {where} adopt {shown.task_id}"
            return replace(mine, note=note), False
    if not adopt:
        return replace(mine, note="not taken over: adopting is off"), False
    moved = reconciling.adopt_orphan(tx, _orphan(account, shown, view))
    if not isinstance(moved, Moved):
        return replace(mine, note="taken over meanwhile"), False
    key = reconciling.orphan_key(account.name, shown.task_id)
    return replace(mine, attempt_id=moved.attempt_id, note=f"taken over as {key}: booked, and fetched like any"), True


def _orphan(account: Account, shown: Shown, view: TaskView) -> Orphan:
    known = [micros for micros in (shown.micros, view.units_micros) if micros is not None]
    return Orphan(
        account=account.name,
        provider=account.provider,
        submit_class=account.submit_class,
        task_id=shown.task_id,
        external_task_id=view.external_task_id or "",
        parent_video_id=view.parent_video_id or "",
        parent_duration_ms=view.parent_duration_ms,
        unit=account.price.unit,
        predicted_micros=max(known) if known else dearest(account.price),
        unit_price_micros=account.price.unit_price_micros,
        currency=account.price.currency,
        failed_tasks_charged=account.failed_tasks_charged,
    )
