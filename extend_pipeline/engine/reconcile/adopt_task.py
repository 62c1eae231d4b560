"""A person's word that a task which no attempt holds is ours: it is looked at, adopted, booked and fetched."""

from __future__ import annotations

from dataclasses import replace

from extend_pipeline.engine.doubt.resolve import Declined, Resolved, actor_of
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import chain_names
from extend_pipeline.engine.reconcile import expected_keys, unmatched_tasks
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed


def adopt_task(pipeline: Pipeline, account_name: str, task_id: str, *, who: str, why: str) -> Resolved | Declined:
    """Adopt a task of an account by a person's word; Declined, and nothing changed, where the account doesn't know it,
    another attempt holds it, or a step of ours comes to it by itself."""
    account = pipeline.accounts[account_name]
    answer = pipeline.provider(account_name).query(task_id)
    match answer:
        case NotFound(reply):
            return Declined(f"account {account_name} knows no task {task_id}: {reply.message}")
        case QueryFailed(_, reply):
            return Declined(f"task {task_id} could not be looked at: {reply.message}; try again")
        case Found(view):
            views = {view.task_id: answer}
    videos = pipeline.configuration.catalogue.videos
    with pipeline.ledger.read() as connection:
        names = chain_names(pipeline, connection, videos)
    to_come = expected_keys.steps_by_key(account_name, videos, unmatched_tasks.keys_of(views), names)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor_of(who, why)) as tx:
        if (holder := reconciliation_queries.holder(tx.connection, account_name, view.task_id)) is not None:
            return Declined(f"task {task_id} belongs to {holder.where} already")
        now = unmatched_tasks.match_context(tx.connection, pipeline, account, "", frozenset(), views, to_come)
        decided = unmatched_tasks.adopt_by_word(tx, replace(now, first_claim_ms=0), view)  # however old it is
        if decided.attempt_id is None:
            return Declined(f"task {task_id} is not taken over: {decided.note}")
        reconciliation.close_questions(
            tx, account=account_name, compared=decided, why=f"by {who}{f': {why}' if why else ''}"
        )
    return Resolved(f"task {task_id} of account {account_name} is {decided.note}")
