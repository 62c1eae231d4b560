"""Look up the tasks that callbacks named, for attempts in doubt that can't be looked up by their own key. A callback is
only a hint: a task counts once a GET with our own credentials shows that it can be this attempt's and no other's."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.hop_state import looked_up_by_key
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import released_on_error
from extend_pipeline.engine.submit.record_outcome import belongs
from extend_pipeline.ledger.clock import still_waits
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read import queries, reconciliation_queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.hints import job_queue, webhook_inbox
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome, TaskView

MAX_LOOKUPS: Final = 5  # of a task that the account doesn't know: its callback may come before it can be queried

SKEW_MS: Final = 600_000
"""Tolerated difference (ms) between the provider's clock and ours, where only the creation time identifies a task."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """An attempt in doubt, the tasks that callbacks named for it, and the result of the last look-up."""

    attempt: AttemptRow
    tasks: tuple[str, ...]
    look: LastLook

    @property
    def absence_counts(self) -> bool:
        """Return whether the next "no such task" is final: enough look-ups were made, and the last had a response."""
        return self.look.tries + 1 >= MAX_LOOKUPS and self.look.cause is LookCause.NOT_THERE


def look_into_callbacks(pipeline: Pipeline, accounts: Collection[str]) -> list[str]:
    """Query every task that callbacks named for an attempt in doubt; return VIDEO/HOP of the attempts that have one.

    Attempts that can be looked up by their own key are left out, because that look-up is more reliable.
    """
    doubts = _lease_doubts(pipeline, accounts)
    if not doubts:
        return []
    with released_on_error(pipeline, [doubt.attempt.attempt_id for doubt in doubts]):
        return _query_and_decide(pipeline, doubts)


def _query_and_decide(pipeline: Pipeline, doubts: Sequence[_Doubt]) -> list[str]:
    requests = [(doubt.attempt.account, task_id) for doubt in doubts for task_id in doubt.tasks]
    with ThreadPoolExecutor(max_workers=pipeline.settings.max_polls, thread_name_prefix="called-back") as pool:
        results = list(pool.map(lambda request: pipeline.provider(request[0]).query(request[1]), requests))
    outcomes = dict(zip(requests, results, strict=True))
    resolved = []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for doubt in doubts:
            if _decide_callback(
                tx, pipeline, doubt, {task_id: outcomes[doubt.attempt.account, task_id] for task_id in doubt.tasks}
            ):
                resolved.append(doubt.attempt.where)
    return resolved


def mismatch_reason(attempt: AttemptRow, view: TaskView, *, task_id: str, post_deadline_ms: int) -> str:
    """Return why a task that a callback named can't be the attempt's; empty where nothing contradicts it.

    The key and the parent that the task reports decide. Where it reports neither, it must have been created while the
    attempt's POST was in flight. Where it reports no creation time either, only the operator may adopt it.
    """
    if view.task_id != task_id:
        return f"the response is about task {view.task_id}"
    if not belongs(view, attempt.external_task_id, attempt.parent_video_id):
        return "it is not made from the same video, or by another request"
    if view.external_task_id is not None or view.parent_video_id is not None:
        return ""
    if view.created_ms is None or attempt.sending_at is None:
        return "it reports neither its parent nor its creation time"
    if not attempt.sending_at - SKEW_MS <= view.created_ms <= attempt.sending_at + post_deadline_ms + SKEW_MS:
        return "it was not made when this attempt was sent"
    return ""


def _lease_doubts(pipeline: Pipeline, accounts: Collection[str]) -> list[_Doubt]:
    """Lease the doubts that are due, for the time of a look-up, so that two processes don't query the same tasks."""
    with pipeline.ledger.read() as connection:
        doubtful = [row.attempt_id for row in _in_doubt(connection, pipeline, accounts)]
        named = webhook_inbox.named(connection, doubtful) if doubtful else {}
        hints = queries.hints(connection, doubtful)
    # their account was class A and isn't any more: no look-up takes them, so they would stay due forever
    stale_hints = {attempt_id for attempt_id in doubtful if attempt_id in hints and attempt_id not in named}
    if not named and not stale_hints:
        return []
    leased = []
    lease_ms = schedule.lookup_lease_ms(pipeline.settings)
    max_wait_ms = schedule.max_callback_wait_ms(pipeline.settings)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        hints = queries.hints(tx.connection, [*named, *stale_hints])
        named = webhook_inbox.named(tx.connection, [*named, *stale_hints])
        for attempt in _in_doubt(tx.connection, pipeline, accounts):
            hint = hints.get(attempt.attempt_id)
            if attempt.attempt_id in stale_hints and attempt.attempt_id not in named:
                transitions.unschedule(tx, attempt.attempt_id)
            if attempt.attempt_id not in named or (
                hint is not None and still_waits(hint.due_at, tx.now_ms, longest_ms=max_wait_ms)
            ):
                continue
            look = LastLook() if hint is None else hint.look
            until = tx.now_ms + lease_ms
            transitions.schedule(tx, attempt.attempt_id, account=attempt.account, due_at=until, look=look)
            job_queue.extend_lease(tx, attempt.attempt_id, owner=pipeline.owner, until=until, from_owner="")
            leased.append(_Doubt(attempt, tuple(named[attempt.attempt_id]), look))
    return leased


def _in_doubt(connection: Connection, pipeline: Pipeline, accounts: Collection[str]) -> list[AttemptRow]:
    return [
        row
        for row in queries.attempts_in(connection, (S.IN_DOUBT,))
        if row.account in accounts and not looked_up_by_key(pipeline.accounts[row.account], row.submit_class)
    ]


def _decide_callback(
    tx: LedgerTransaction, pipeline: Pipeline, doubt: _Doubt, outcomes: Mapping[str, QueryOutcome]
) -> bool:
    """Record what the queries of one attempt's tasks have shown; return whether its task was found."""
    attempt_id = doubt.attempt.attempt_id
    next_look: LastLook | None = None
    tries = doubt.look.tries + 1
    for task_id, outcome in outcomes.items():
        match outcome:
            case Found(view):
                mismatch = _adopt(tx, pipeline, doubt.attempt, view, task_id)
                webhook_inbox.mark_processed(tx, attempt_id, task_id, note=mismatch or "found")
                if not mismatch:
                    return True
            case NotFound(reply) if doubt.absence_counts:
                webhook_inbox.mark_processed(
                    tx, attempt_id, task_id, note=f"the account knows no such task: {reply.message}"
                )
            case NotFound(reply):
                note = f"not there yet: a callback named task {task_id}: {reply.message}"
                next_look = LastLook(note, LookCause.NOT_THERE, tries)
            case QueryFailed(_, reply):
                note = f"a callback named task {task_id}; it could not be seen yet: {reply.message}"
                next_look = next_look or LastLook(note, tries=tries)
    if transitions.state_of(tx, attempt_id) is not S.IN_DOUBT:
        return False  # another worker or the operator has decided meanwhile, and scheduled what follows
    if next_look:
        due_at = schedule.next_callback_lookup(tries=doubt.look.tries, now_ms=tx.now_ms)
        transitions.schedule(tx, attempt_id, account=doubt.attempt.account, due_at=due_at, look=next_look)
    elif webhook_inbox.named(tx.connection, [attempt_id]):  # a callback named another task meanwhile
        transitions.schedule(tx, attempt_id, account=doubt.attempt.account, due_at=tx.now_ms)
    else:
        transitions.unschedule(tx, attempt_id)
    return False


def _adopt(tx: LedgerTransaction, pipeline: Pipeline, attempt: AttemptRow, view: TaskView, task_id: str) -> str:
    """Assign the task to the attempt unless a check fails; return the failed check. The ledger is checked too: no other
    attempt may own the task or have received a callback naming it."""
    deadline_ms = int(pipeline.settings.post_deadline_s * 1000)
    mismatch = mismatch_reason(attempt, view, task_id=task_id, post_deadline_ms=deadline_ms)
    if mismatch:
        return mismatch
    if webhook_inbox.named_elsewhere(tx.connection, attempt.account, task_id, than=attempt.attempt_id):
        return "a callback to another attempt's address names it too"
    if reconciliation_queries.holders_elsewhere(tx.connection, attempt.account, attempt.provider, [task_id]):
        return "an attempt of another account holds it"
    moved = transitions.submitted(tx, attempt.attempt_id, task_id=task_id, found_by="callback", due_at=tx.now_ms)
    if isinstance(moved, Moved):
        return ""
    return "another attempt holds it" if moved.state is S.IN_DOUBT else "the attempt was decided meanwhile"
