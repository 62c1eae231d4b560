"""A person's word that a task which no attempt holds is ours: it is looked at, adopted, booked and fetched."""

from __future__ import annotations

from dataclasses import replace

from extend_pipeline.engine import own_keys, strangers
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.engine.resolve import Declined, Resolved, actor_of
from extend_pipeline.engine.snapshot import chain_names
from extend_pipeline.ledger import book_reads, reconciling
from extend_pipeline.providers.outcomes import Absent, Seen, Unanswered


def adopt_task(pipeline: Pipeline, account_name: str, task_id: str, *, who: str, why: str) -> Resolved | Declined:
    """Adopt a task of an account by a person's word; Declined, and nothing changed, where the account doesn't know it,
    another attempt holds it, or a step of ours comes to it by itself."""
    account = pipeline.accounts[account_name]
    answer = pipeline.provider(account_name).query(task_id)
    match answer:
        case Absent(reply):
            return Declined(f"account {account_name} knows no task {task_id}: {reply.message}")
        case Unanswered(_, reply):
            return Declined(f"task {task_id} could not be looked at: {reply.message}; try again")
        case Seen(view):
            views = {view.task_id: answer}
    videos = pipeline.configuration.catalogue.videos
    with pipeline.ledger.read() as connection:
        names = chain_names(pipeline, connection, videos)
    to_come = own_keys.steps_by_key(account_name, videos, strangers.keys_of(views), names)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor_of(who, why)) as tx:
        if (holder := book_reads.holder(tx.connection, account_name, view.task_id)) is not None:
            return Declined(f"task {task_id} belongs to {holder.video_key}/{holder.hop} already")
        now = strangers.around(tx.connection, pipeline, account, "", frozenset(), views, to_come)
        decided = strangers.adopt_by_word(tx, replace(now, first_claim_ms=0), view)  # however old it is
        if decided.attempt_id is None:
            return Declined(f"task {task_id} is not taken over: {decided.note}")
        reconciling.adopted_by_word(
            tx, account=account_name, compared=decided, why=f"by {who}{f': {why}' if why else ''}"
        )
    return Resolved(f"task {task_id} of account {account_name} is {decided.note}")
