"""Looks into what callbacks named, for attempts in doubt. The callback is a hint; what counts is a GET with our own
credentials that shows a task made from the right parent, which no other attempt holds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Row

from extend_pipeline.engine.outcome import belongs
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.ledger import inbox, reads, transitions
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.transitions import Moved
from extend_pipeline.providers.outcomes import Absent, QueryOutcome, Seen, Unanswered

S = AttemptState

LOOKS: Final = 5  # a task may be told of before it can be asked for
FIRST_GAP_MS: Final = 2_000  # between looks; doubles


def look_into_callbacks(pipeline: Pipeline, accounts: Collection[str]) -> list[str]:
    """Check every task that a callback named for an attempt in doubt; answers VIDEO/HOP of those that were found."""
    with pipeline.ledger.read() as connection:
        doubtful = {
            row.attempt_id: row for row in reads.attempts_in(connection, (S.IN_DOUBT,)) if row.account in accounts
        }
        named = inbox.named(connection, doubtful) if doubtful else {}
        notes = reads.notes(connection) if named else {}
    found = []
    for attempt_id, callbacks in named.items():
        row, hint = doubtful[attempt_id], notes.get(attempt_id)
        if hint is not None and hint.due_at > pipeline.now_ms():
            continue
        tries = 0 if hint is None else hint.tries
        if any(_look(pipeline, row, callback, tries) for callback in callbacks):
            found.append(f"{row.video_key}/{row.hop}")
    return found


def _look(pipeline: Pipeline, row: Row[Any], callback: Row[Any], tries: int) -> bool:
    answer: QueryOutcome = pipeline.provider(row.account).query(callback.task_id)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        match answer:
            case Seen(view) if view.task_id == callback.task_id and belongs(
                view, row.external_task_id, row.parent_video_id
            ):
                moved = transitions.submitted(
                    tx, row.attempt_id, task_id=view.task_id, found_by="callback", due_at=tx.now_ms
                )
                inbox.looked_into(tx, callback.digest, note="found")
                return isinstance(moved, Moved)
            case Seen(view):
                inbox.looked_into(tx, callback.digest, note=f"task {view.task_id} is not made from the same video")
            case Absent(reply) if tries + 1 >= LOOKS:
                inbox.looked_into(tx, callback.digest, note=f"the account knows no such task: {reply.message}")
            case Absent(reply) | Unanswered(_, reply):
                # an account that can look up by its own key has its own rhythm, which goes on as well
                gap = FIRST_GAP_MS * 2 ** min(tries, 8)
                note = f"a callback named task {callback.task_id}; it could not be seen yet: {reply.message}"
                due_at = tx.now_ms + gap
                transitions.schedule(tx, row.attempt_id, account=row.account, due_at=due_at, note=note, tries=tries + 1)
                return False
        if pipeline.accounts[row.account].submit_class != "A":
            transitions.unschedule(tx, row.attempt_id)
    return False
