"""Looks into what callbacks named, for attempts in doubt that can't be looked up by a key of their own. The callback is
a hint; what counts is a GET with our own credentials that shows a task which can be this attempt's and no other's."""

from __future__ import annotations

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
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import job_queue, transitions, webhook_inbox
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome, TaskView

S = AttemptState

MAX_LOOKUPS: Final = 5  # at a task that the account doesn't know: it may be told of before it can be asked for

SKEW_MS: Final = 600_000
"""How far the upstream's clock may be from ours where a task's age is all that it tells of where it comes from."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """An attempt in doubt, the tasks that callbacks named for it, and what the last look at them left."""

    attempt: AttemptRow
    tasks: tuple[str, ...]
    look: LastLook

    @property
    def absence_counts(self) -> bool:
        """Return whether one more "no such task" is believed: not where the looks before had no answer at all."""
        return self.look.tries + 1 >= MAX_LOOKUPS and self.look.cause is LookCause.NOT_THERE


def look_into_callbacks(pipeline: Pipeline, accounts: Collection[str]) -> list[str]:
    """Ask once for every task that callbacks named for an attempt in doubt; answers VIDEO/HOP of those that were found.

    Only for attempts that can't be looked up by our own key: where they can, that look-up knows better.
    """
    doubts = _take(pipeline, accounts)
    if not doubts:
        return []
    with released_on_error(pipeline, [doubt.attempt.attempt_id for doubt in doubts]):
        return _look_at(pipeline, doubts)


def _look_at(pipeline: Pipeline, doubts: Sequence[_Doubt]) -> list[str]:
    questions = [(doubt.attempt.account, task_id) for doubt in doubts for task_id in doubt.tasks]
    with ThreadPoolExecutor(max_workers=pipeline.settings.max_polls, thread_name_prefix="called-back") as pool:
        answers = list(pool.map(lambda question: pipeline.provider(question[0]).query(question[1]), questions))
    heard = dict(zip(questions, answers, strict=True))
    found = []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for doubt in doubts:
            if _decide_callback(
                tx, pipeline, doubt, {task_id: heard[doubt.attempt.account, task_id] for task_id in doubt.tasks}
            ):
                found.append(doubt.attempt.where)
    return found


def mismatch_reason(attempt: AttemptRow, view: TaskView, *, asked: str, post_deadline_ms: int) -> str:
    """Return why a task that a callback named can't be taken for an attempt's; empty where nothing speaks against it.

    The task's own words decide: our key, or the video that it was made from. Where it tells neither, it must have
    been made while the attempt's POST was under way. A task that doesn't tell that either is a person's to adopt.
    """
    if view.task_id != asked:
        return f"the answer is about task {view.task_id}"
    if not belongs(view, attempt.external_task_id, attempt.parent_video_id):
        return "it is not made from the same video, or by another request"
    if view.external_task_id is not None or view.parent_video_id is not None:
        return ""
    if view.created_ms is None or attempt.sending_at is None:
        return "it tells neither what it was made from nor when"
    if not attempt.sending_at - SKEW_MS <= view.created_ms <= attempt.sending_at + post_deadline_ms + SKEW_MS:
        return "it was not made when this attempt was sent"
    return ""


def _take(pipeline: Pipeline, accounts: Collection[str]) -> list[_Doubt]:
    """Lease what is to be looked into now for the time of a look, so that two processes don't ask the same."""
    with pipeline.ledger.read() as connection:
        doubtful = [row.attempt_id for row in _in_doubt(connection, pipeline, accounts)]
        named = webhook_inbox.named(connection, doubtful) if doubtful else {}
        hints = queries.hints(connection) if doubtful else {}
    # of an account that was class A, and isn't any more: it would be due for ever, to nobody
    left_over = {one for one in doubtful if one in hints and one not in named}
    if not named and not left_over:
        return []
    taken = []
    lease_ms = schedule.lookup_lease_ms(pipeline.settings)
    longest = schedule.max_callback_wait_ms(pipeline.settings)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        hints = queries.hints(tx.connection)
        named = webhook_inbox.named(tx.connection, [*named, *left_over])
        for attempt in _in_doubt(tx.connection, pipeline, accounts):
            hint = hints.get(attempt.attempt_id)
            if attempt.attempt_id in left_over and attempt.attempt_id not in named:
                transitions.unschedule(tx, attempt.attempt_id)
            if attempt.attempt_id not in named or (
                hint is not None and still_waits(hint.due_at, tx.now_ms, longest_ms=longest)
            ):
                continue
            look = LastLook() if hint is None else hint.look
            until = tx.now_ms + lease_ms
            transitions.schedule(tx, attempt.attempt_id, account=attempt.account, due_at=until, look=look)
            job_queue.extend_lease(tx, attempt.attempt_id, owner=pipeline.owner, until=until, from_owner="")
            taken.append(_Doubt(attempt, tuple(named[attempt.attempt_id]), look))
    return taken


def _in_doubt(connection: Connection, pipeline: Pipeline, accounts: Collection[str]) -> list[AttemptRow]:
    return [
        row
        for row in queries.attempts_in(connection, (S.IN_DOUBT,))
        if row.account in accounts and not looked_up_by_key(pipeline.accounts[row.account], row.submit_class)
    ]


def _decide_callback(
    tx: LedgerTransaction, pipeline: Pipeline, doubt: _Doubt, answers: Mapping[str, QueryOutcome]
) -> bool:
    """Write down what the looks at the tasks of one attempt have shown; answers whether its task was found."""
    attempt_id = doubt.attempt.attempt_id
    waiting: LastLook | None = None
    tries = doubt.look.tries + 1
    for task_id, answer in answers.items():
        match answer:
            case Found(view):
                against = _adopt(tx, pipeline, doubt.attempt, view, task_id)
                webhook_inbox.mark_processed(tx, attempt_id, task_id, note=against or "found")
                if not against:
                    return True
            case NotFound(reply) if doubt.absence_counts:
                webhook_inbox.mark_processed(
                    tx, attempt_id, task_id, note=f"the account knows no such task: {reply.message}"
                )
            case NotFound(reply):
                note = f"not there yet: a callback named task {task_id}: {reply.message}"
                waiting = LastLook(note, LookCause.NOT_THERE, tries)
            case QueryFailed(_, reply):
                note = f"a callback named task {task_id}; it could not be seen yet: {reply.message}"
                waiting = waiting or LastLook(note, tries=tries)
    if transitions.state_of(tx, attempt_id) is not S.IN_DOUBT:
        return False  # somebody decided meanwhile, and what is scheduled now is theirs
    if waiting:
        due_at = schedule.next_callback_lookup(tries=doubt.look.tries, now_ms=tx.now_ms)
        transitions.schedule(tx, attempt_id, account=doubt.attempt.account, due_at=due_at, look=waiting)
    elif webhook_inbox.named(tx.connection, [attempt_id]):  # a callback named another one while we looked
        transitions.schedule(tx, attempt_id, account=doubt.attempt.account, due_at=tx.now_ms)
    else:
        transitions.unschedule(tx, attempt_id)
    return False


def _adopt(tx: LedgerTransaction, pipeline: Pipeline, attempt: AttemptRow, view: TaskView, task_id: str) -> str:
    """Take a task for the attempt's where nothing speaks against it; answers what does. The ledger has a word too:
    nobody else may hold the task or have been told of it."""
    deadline_ms = int(pipeline.settings.post_deadline_s * 1000)
    against = mismatch_reason(attempt, view, asked=task_id, post_deadline_ms=deadline_ms)
    if against:
        return against
    if webhook_inbox.named_elsewhere(tx.connection, attempt.account, task_id, than=attempt.attempt_id):
        return "a callback to another attempt's address names it too"
    if reconciliation_queries.holders_elsewhere(tx.connection, attempt.account, attempt.provider, [task_id]):
        return "an attempt of another account holds it"
    moved = transitions.submitted(tx, attempt.attempt_id, task_id=task_id, found_by="callback", due_at=tx.now_ms)
    if isinstance(moved, Moved):
        return ""
    return "another attempt holds it" if moved.state is S.IN_DOUBT else "the attempt was decided meanwhile"
