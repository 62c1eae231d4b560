"""Adopt a task that no attempt holds on the operator's decision: it is queried, booked and fetched."""

from dataclasses import replace

from extend_pipeline.engine.decisions.resolve import Declined, Resolved, actor_of, query_task
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile import expected_keys, unmatched_tasks
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.providers.protocol import Found


def adopt_task(pipeline: Pipeline, account_name: str, task_id: str, *, who: str, why: str) -> Resolved | Declined:
    """Adopt a task of an account on the operator's decision. Return Declined, with nothing changed, where the account
    doesn't know the task, another attempt holds it, or a step of this home will find it by its key."""
    account = pipeline.accounts[account_name]
    view = query_task(pipeline, account_name, task_id)
    if isinstance(view, Declined):
        return view
    outcomes = {view.task_id: Found(view)}
    expected_steps = expected_keys.expected_steps(pipeline, account_name, outcomes)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor_of(who, why)) as tx:
        if (holder := reconciliation_queries.holder(tx.connection, account_name, view.task_id)) is not None:
            return Declined(f"task {task_id} belongs to {holder.where} already")
        context = unmatched_tasks.match_context(tx.connection, pipeline, account, "", outcomes, expected_steps)
        item = unmatched_tasks.adopt_for_operator(tx, replace(context, first_claim_ms=0), view)  # of any age
        if item.attempt_id is None:
            return Declined(f"task {task_id} is not adopted: {item.note}")
        reconciliation.close_questions(
            tx, account=account_name, compared=item, why=f"by {who}{f': {why}' if why else ''}"
        )
    return Resolved(f"task {task_id} of account {account_name} is {item.note}")
