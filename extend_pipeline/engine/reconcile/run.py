"""Bring the ledger in line with a provider's statement: adjust amounts, adopt unmatched tasks, and record a verdict on
every task. Sends only queries; every amount was paid before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.keys import known_task
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling.deductions import check_deduction
from extend_pipeline.engine.reconcile import expected_keys, unmatched_tasks
from extend_pipeline.engine.reconcile.compare import Comparison, Statement, StatementLine, compare_statement
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.read.reconciliation_queries import ChargedAttempt
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import reconciliation, statements
from extend_pipeline.ledger.write.reconciliation import DISAGREEMENTS, ReconciliationItem, ReconciliationVerdict
from extend_pipeline.providers.protocol import Answer, Found, NotFound, QueryFailed, QueryFault, QueryOutcome, TaskView

MAX_QUERIES: Final = 500  # unmatched tasks queried in one comparison, one GET each; the rest wait for the next


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The results of one comparison. `adopted` are task ids, `adjusted_micros` the sum of changes to booked amounts."""

    account: str
    source: str
    unit: str
    compared: tuple[ReconciliationItem, ...]
    adopted: tuple[str, ...]
    adjusted_micros: int
    complete: bool
    notes: tuple[str, ...] = ()
    others: int = 0
    """Tasks on the statement that are unrelated to this home: neither booked nor fetched."""

    @property
    def disagreements(self) -> tuple[ReconciliationItem, ...]:
        """Return the items that need the operator."""
        return tuple(item for item in self.compared if item.verdict in DISAGREEMENTS)


def reconcile(
    pipeline: Pipeline,
    account_name: str,
    statement: Statement,
    *,
    seen: Mapping[str, TaskView] | None = None,
    adopt: bool = True,
) -> Reconciled:
    """Compare one account with one statement of its provider and record the results. `seen` are tasks that the
    statement showed in full; other unmatched ones are queried. With `adopt` off unmatched tasks are only reported."""
    account = pipeline.accounts[account_name]
    # only a valid catalogue shows which tasks are its sources, or belong to steps that are still to be submitted
    adopt = adopt and not pipeline.configuration.problems
    with pipeline.ledger.read() as connection:
        attempts = reconciliation_queries.attempts_of_account(connection, account_name)
        accepted = reconciliation_queries.accepted_tasks(connection, account_name)
        others = reconciliation_queries.no_extensions(connection, account_name, statement.name)
        outranked = reconciliation_queries.outranked_attempts(connection, account_name, statement.name)
    by_id = {attempt.attempt_id: attempt for attempt in attempts}
    statement = replace(statement, no_extensions=others, accepted=accepted, outranked=outranked)
    comparison = compare_statement(statement, attempts, unit=account.price.unit)
    outcomes = _query_unmatched(pipeline, account_name, comparison, accepted, seen or {})
    expected_steps = expected_keys.expected_steps(pipeline, account_name, outcomes)
    proved: frozenset[str] = frozenset()
    if outcomes and not pipeline.configuration.problems:
        # every task of this home was claimed before it was made, so the ledger has each possible owner by now
        with pipeline.ledger.read() as connection:
            context = unmatched_tasks.match_context(
                connection, pipeline, account, statement.name, outcomes, expected_steps
            )
        if proved := unmatched_tasks.proved_unrelated(context, outcomes):
            statement = replace(statement, no_extensions=others | proved)
            comparison = compare_statement(statement, attempts, unit=account.price.unit)
    failpoint("reconcile.before_write")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        if comparison.to_book:  # another process may have read a statement of higher rank meanwhile
            outranked = reconciliation_queries.outranked_attempts(tx.connection, account_name, statement.name)
        to_book = {key: micros for key, micros in comparison.to_book.items() if key not in outranked}
        adjusted = sum(_book(tx, account, by_id[attempt_id], micros) for attempt_id, micros in to_book.items())
        resolved = _resolve_unmatched(tx, pipeline, account, comparison, outcomes, expected_steps, adopt=adopt)
        items = [
            resolved.items.get(item.task_id, item) if item.attempt_id is None else item for item in comparison.items
        ]
        items = [
            replace(item, note=unmatched_tasks.UNRELATED_NOTE) if item.task_id in proved else item for item in items
        ]
        others_now = {
            item.task_id for item in items if item.attempt_id is None and item.verdict is ReconciliationVerdict.OTHER
        }
        # a task that a GET has shown to be unrelated is remembered, so that it is queried once
        queried = outcomes.keys() - (seen or {}).keys() - resolved.counted
        reconciliation.record(
            tx, account=account_name, source=statement.name, compared=items, only_counted=others_now - queried
        )
        views = [outcome.view for key in others_now if isinstance(outcome := outcomes.get(key), Found)]
        newest = max((view.created_ms for view in views if view.created_ms), default=None)
        statements.record_read(
            tx, account=account_name, source=statement.name, others=len(others_now), others_newest_at=newest
        )
    failpoint("reconcile.after_write")
    return Reconciled(
        account_name,
        statement.name,
        account.price.unit,
        tuple(items),
        resolved.adopted,
        adjusted,
        comparison.complete,
        others=len(others_now),
    )


def _query_unmatched(
    pipeline: Pipeline,
    account: str,
    comparison: Comparison,
    accepted: frozenset[str],
    seen: Mapping[str, TaskView],
) -> dict[str, QueryOutcome]:
    """Return an outcome for each unmatched task that needs a decision: from the statement itself, or by one GET."""
    outcomes: dict[str, QueryOutcome] = {}
    queries_sent = 0
    for line, _ in _undecided(comparison):
        if line.task_id in accepted:
            continue
        if line.task_id in seen:
            outcomes[line.task_id] = Found(seen[line.task_id])
        elif queries_sent < MAX_QUERIES:
            queries_sent += 1
            outcomes[line.task_id] = pipeline.provider(account).query(line.task_id)
    absent = [task_id for task_id, outcome in outcomes.items() if isinstance(outcome, NotFound)]
    if absent and not _finds_known_task(pipeline, account):
        unproven = QueryFailed(QueryFault.MALFORMED, Answer("it was not found, and neither is a task that is known"))
        outcomes.update(dict.fromkeys(absent, unproven))
    return outcomes


def _finds_known_task(pipeline: Pipeline, account: str) -> bool:
    """Return the positive control: "no such task" proves something only where the same route finds a known task."""
    known = known_task(pipeline, pipeline.accounts[account])
    return known is not None and isinstance(pipeline.provider(account).query(known.task), Found)


def _undecided(comparison: Comparison) -> list[tuple[StatementLine, ReconciliationItem]]:
    unknown = {item.task_id: item for item in comparison.items if item.verdict is ReconciliationVerdict.UPSTREAM_ONLY}
    return [(line, unknown[line.task_id]) for line in comparison.unmatched if line.task_id in unknown]


def _resolve_unmatched(
    tx: LedgerTransaction,
    pipeline: Pipeline,
    account: Account,
    comparison: Comparison,
    outcomes: Mapping[str, QueryOutcome],
    expected_steps: Mapping[str, str],
    *,
    adopt: bool,
) -> unmatched_tasks.ResolvedUnmatched:
    undecided = _undecided(comparison)
    if not undecided:
        return unmatched_tasks.ResolvedUnmatched({}, (), frozenset())
    context = unmatched_tasks.match_context(
        tx.connection, pipeline, account, comparison.source, outcomes, expected_steps
    )
    return unmatched_tasks.resolve_unmatched(tx, context, undecided, outcomes, adopt=adopt)


def _book(tx: LedgerTransaction, account: Account, row: ChargedAttempt, micros: int) -> int:
    before = reconciliation.booked_micros(tx, row.attempt_id)
    difference = reconciliation.book_billed(tx, row.attempt_id, micros=micros)
    if row.settled_micros is not None and row.task_id is not None:  # a failed task waits for its bill
        # a promotion that is billed at the full price costs what the plan predicted
        expected = before if row.state is S.FAILED else max(before, row.predicted_micros)
        check_deduction(tx, account, row, micros, expected=expected)
    return difference
