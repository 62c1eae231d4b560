"""Brings the ledger to a provider's books: mends amounts, takes over tasks that nobody here knows, and writes down how
every task stands. Pays nothing: it looks, and books what was paid already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import chain_names
from extend_pipeline.engine.polling.deductions import check_deduction
from extend_pipeline.engine.reconcile import expected_keys, unmatched_tasks
from extend_pipeline.engine.reconcile.compare import Comparison, LedgerLine, Statement, StatementLine, compare_statement
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries, reconciliation_queries
from extend_pipeline.ledger.read.reconciliation_queries import ChargedAttempt
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import reconciliation, statements
from extend_pipeline.ledger.write.reconciliation import DISAGREEMENTS, ReconciliationItem, ReconciliationVerdict
from extend_pipeline.providers.protocol import Answer, Found, NotFound, QueryFailed, QueryFault, QueryOutcome, TaskView
from extend_pipeline.providers.registry import spec_of

S = AttemptState

MAX_ASKED: Final = 500  # strangers that are asked for in one comparison, one GET each; the rest wait for the next


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one comparison did. `adopted` are task ids, `adjusted_micros` the sum of what the books were changed by."""

    account: str
    source: str
    unit: str
    compared: tuple[ReconciliationItem, ...]
    adopted: tuple[str, ...]
    adjusted_micros: int
    complete: bool
    notes: tuple[str, ...] = ()
    others: int = 0
    """Tasks in the book that are none of this home's: neither booked nor fetched."""

    @property
    def disagreements(self) -> tuple[ReconciliationItem, ...]:
        """Return what a person should look at."""
        return tuple(each for each in self.compared if each.verdict in DISAGREEMENTS)


def reconcile(
    pipeline: Pipeline,
    account_name: str,
    book: Statement,
    *,
    seen: Mapping[str, TaskView] | None = None,
    adopt: bool = True,
) -> Reconciled:
    """Compare one account with one of its provider's books and write down what follows. `seen` are tasks that the book
    came with; others that nobody here knows are asked for. With `adopt` off they are only told of."""
    account = pipeline.accounts[account_name]
    # without a sound catalogue nobody knows which tasks are its sources, or steps that are still to be asked for
    adopt = adopt and not pipeline.configuration.problems
    with pipeline.ledger.read() as connection:
        rows = reconciliation_queries.attempts_of_account(connection, account_name)
        sums = reconciliation_queries.booked(connection, account_name)
        accepted = reconciliation_queries.accepted_tasks(connection, account_name)
        others = reconciliation_queries.no_extensions(connection, account_name, book.name)
        outranked = reconciliation_queries.outranked_attempts(connection, account_name, book.name)
    by_id = {row.attempt_id: row for row in rows}
    book = replace(book, no_extensions=others, accepted=accepted, outranked=outranked)
    found = compare_statement(
        book, [ledger_line(row, sums.get(row.attempt_id, 0)) for row in rows], unit=account.price.unit
    )
    views = _looks(pipeline, account_name, found, accepted, seen or {})
    videos = pipeline.configuration.catalogue.videos
    with pipeline.ledger.read() as connection:
        names = chain_names(pipeline, connection, videos)
    to_come = expected_keys.steps_by_key(account_name, videos, unmatched_tasks.keys_of(views), names)
    proved: frozenset[str] = frozenset()
    if views and not pipeline.configuration.problems:
        # whoever made a task had claimed it before: what is known now is all that could be behind one of these
        with pipeline.ledger.read() as connection:
            now = unmatched_tasks.match_context(connection, pipeline, account, book.name, accepted, views, to_come)
        if proved := unmatched_tasks.proved_others(now, views):
            book = replace(book, no_extensions=others | proved)
            found = compare_statement(
                book, [ledger_line(row, sums.get(row.attempt_id, 0)) for row in rows], unit=account.price.unit
            )
    failpoint("reconcile.before_write")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        # another process may have brought in a better book meanwhile
        outranked = (
            reconciliation_queries.outranked_attempts(tx.connection, account_name, book.name)
            if found.to_book
            else outranked
        )
        to_book = {each: micros for each, micros in found.to_book.items() if each not in outranked}
        adjusted = sum(_book(tx, account, by_id[each], micros) for each, micros in to_book.items())
        settled = _settle(tx, pipeline, account, found, views, to_come, adopt=adopt)
        compared = [
            settled.told.get(each.task_id, each) if each.attempt_id is None else each for each in found.compared
        ]
        compared = [
            replace(each, note=unmatched_tasks.OTHERS_NOTE) if each.task_id in proved else each for each in compared
        ]
        others_now = {
            each.task_id for each in compared if each.attempt_id is None and each.verdict is ReconciliationVerdict.OTHER
        }
        # what a GET has shown to be somebody else's is remembered, so that it is asked for once
        asked = views.keys() - (seen or {}).keys() - settled.counted
        reconciliation.record(
            tx, account=account_name, source=book.name, compared=compared, only_counted=others_now - asked
        )
        newest = max((made_ms for task_id in others_now if (made_ms := _made_ms(views.get(task_id)))), default=None)
        statements.record_read(
            tx, account=account_name, source=book.name, others=len(others_now), others_newest_at=newest
        )
    failpoint("reconcile.after_write")
    return Reconciled(
        account_name,
        book.name,
        account.price.unit,
        tuple(compared),
        settled.adopted,
        adjusted,
        found.complete,
        others=len(others_now),
    )


def _made_ms(answer: QueryOutcome | None) -> int | None:
    return answer.view.created_ms if isinstance(answer, Found) else None


def _looks(
    pipeline: Pipeline,
    account: str,
    found: Comparison,
    accepted: frozenset[str],
    seen: Mapping[str, TaskView],
) -> dict[str, QueryOutcome]:
    """Look at each stranger that somebody should care about: in the book itself, or by one GET."""
    views: dict[str, QueryOutcome] = {}
    asked = 0
    for shown, _ in _of_interest(found):
        if shown.task_id in accepted:
            continue
        if shown.task_id in seen:
            views[shown.task_id] = Found(seen[shown.task_id])
        elif asked < MAX_ASKED:
            asked += 1
            views[shown.task_id] = pipeline.provider(account).query(shown.task_id)
    absent = [task_id for task_id, answer in views.items() if isinstance(answer, NotFound)]
    if absent and not _finds_what_is_known(pipeline, account):
        unproven = QueryFailed(QueryFault.MALFORMED, Answer("it was not found, and neither is a task that is known"))
        views.update(dict.fromkeys(absent, unproven))
    return views


def _finds_what_is_known(pipeline: Pipeline, account: str) -> bool:
    """Return the positive control: "no such task" means something only where the same route finds one that there is."""
    since = pipeline.now_ms() - spec_of(pipeline.accounts[account].provider).result_life_ms
    with pipeline.ledger.read() as connection:
        known = queries.known_task(connection, account, at_least_ms=since)
    return known is not None and isinstance(pipeline.provider(account).query(known.task), Found)


def _of_interest(found: Comparison) -> list[tuple[StatementLine, ReconciliationItem]]:
    unknown = {each.task_id: each for each in found.compared if each.verdict is ReconciliationVerdict.UPSTREAM_ONLY}
    return [(shown, unknown[shown.task_id]) for shown in found.strangers if shown.task_id in unknown]


def _settle(
    tx: LedgerTransaction,
    pipeline: Pipeline,
    account: Account,
    found: Comparison,
    views: Mapping[str, QueryOutcome],
    to_come: Mapping[str, str],
    *,
    adopt: bool,
) -> unmatched_tasks.ResolvedUnmatched:
    of_interest = _of_interest(found)
    if not of_interest:
        return unmatched_tasks.ResolvedUnmatched({}, (), frozenset())
    accepted = reconciliation_queries.accepted_tasks(tx.connection, account.name)  # a person may have said so meanwhile
    now = unmatched_tasks.match_context(tx.connection, pipeline, account, found.source, accepted, views, to_come)
    return unmatched_tasks.resolve_unmatched(tx, now, of_interest, views, adopt=adopt)


def ledger_line(row: ChargedAttempt, booked_micros: int) -> LedgerLine:
    """Return a ledger row as a comparison sees it."""
    return LedgerLine(
        attempt_id=row.attempt_id,
        task_id=row.task_id,
        state=row.state,
        unit=row.unit,
        booked_micros=booked_micros,
        settled=row.settled_micros is not None or row.state in (S.RELEASED, S.REJECTED),
        sent_ms=row.sending_at or row.submitted_at,
        # what was never found has no end of its own: it was charged, if at all, when it was sent
        ended_ms=row.sending_at if row.task_id is None else row.completed_at or row.finished_at,
        price_micros=row.unit_price_micros,
    )


def _book(tx: LedgerTransaction, account: Account, row: ChargedAttempt, micros: int) -> int:
    before = reconciliation.booked_micros(tx, row.attempt_id)
    difference = reconciliation.book_billed(tx, row.attempt_id, micros=micros)
    if row.settled_micros is not None and row.task_id is not None:  # a failed task's bill is what was waited for
        # what was told as a promotion and is billed at the full price costs what the plan says
        expected = before if row.state is S.FAILED else max(before, row.predicted_micros)
        check_deduction(tx, account, row, micros, expected=expected)
    return difference
