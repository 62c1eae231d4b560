"""Look up tasks that callbacks named for attempts that have ended without one: written off by the operator, or held to
be free. A task that a GET with our own credentials proves to be a written-off attempt's is adopted, like a late
response to its POST; every other task becomes a question to the operator, with its command."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from extend_pipeline.engine.doubt.callback_lookup import MAX_LOOKUPS, mismatch_reason
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import released_on_error
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow, ScheduledAttempt
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import reconciliation, transitions
from extend_pipeline.ledger.write.hints import job_queue, webhook_inbox
from extend_pipeline.ledger.write.late_acceptance import adopt_late_task
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome, TaskView

SOURCE: Final = "callback"
"""The statement name under which such a question is recorded: `reconcile ACCOUNT --accept callback/TASK`."""

BATCH: Final = 200  # attempts a round


def look_into_late_callbacks(pipeline: Pipeline, accounts: Collection[str]) -> list[str]:
    """Query every task that callbacks named for attempts that have ended; return VIDEO/HOP of those adopted."""
    waits, ended = schedule.callback_waits(pipeline.settings, accounts), sorted(webhook_inbox.ENDED)
    if not job_queue.has_due(pipeline.ledger, now_ms=pipeline.now_ms(), states=ended, accounts=waits):
        return []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        lease_ms = schedule.lookup_lease_ms(pipeline.settings)
        leased = job_queue.lease_due(
            tx, states=ended, accounts=waits, lease_ms=lease_ms, limit=BATCH, owner=pipeline.owner
        )
        attempt_ids = [due.attempt.attempt_id for due in leased]
        named = webhook_inbox.named(tx.connection, attempt_ids)
    with released_on_error(pipeline, attempt_ids):
        return _query_and_decide(pipeline, leased, named)


def _query_and_decide(
    pipeline: Pipeline, leased: list[ScheduledAttempt], named: Mapping[str, Sequence[str]]
) -> list[str]:
    requests = [(due, task_id) for due in leased for task_id in named.get(due.attempt.attempt_id, [])]
    with ThreadPoolExecutor(max_workers=pipeline.settings.max_polls, thread_name_prefix="called-back") as pool:
        outcomes = list(
            pool.map(lambda request: pipeline.provider(request[0].attempt.account).query(request[1]), requests)
        )
    adopted = []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        waiting: dict[str, str] = {}
        for (due, task_id), outcome in zip(requests, outcomes, strict=True):
            is_adopted, reason = _decide(tx, pipeline, due, task_id, outcome)
            adopted += [due.attempt.where] * is_adopted
            waiting |= {due.attempt.attempt_id: reason} if reason else {}
        for due in leased:
            _schedule_next(tx, due, waiting.get(due.attempt.attempt_id, ""))
    return adopted


def _decide(
    tx: LedgerTransaction, pipeline: Pipeline, due: ScheduledAttempt, task_id: str, outcome: QueryOutcome
) -> tuple[bool, str]:
    """Record the outcome of one query; return whether the task was adopted, and the reason to query again, if any."""
    attempt, where, tries = due.attempt, due.attempt.where, due.look.tries + 1
    match outcome:
        case Found(view):
            mismatch = _mismatch_reason(tx, pipeline, attempt, view, task_id)
            if mismatch is None:  # nothing to adopt or to ask: an attempt holds it already
                webhook_inbox.mark_processed(tx, attempt.attempt_id, task_id, note="an attempt holds it already")
                return False, ""
            if not mismatch and attempt.state is S.WRITTEN_OFF:
                moved = adopt_late_task(tx, attempt.attempt_id, task_id=view.task_id)
                if isinstance(moved, Moved):
                    webhook_inbox.mark_processed(tx, attempt.attempt_id, task_id, note="found")
                    note = f"it is {where}, which was written off; adopted, and the charge with it"
                    item = _item(pipeline, attempt, view.task_id, view.units_micros, note, moved.attempt_id)
                    reconciliation.close_questions(
                        tx, account=attempt.account, compared=item, why="named by a callback"
                    )
                    return True, ""
            webhook_inbox.mark_processed(tx, attempt.attempt_id, task_id, note=mismatch or "waits for the operator")
            _ask(tx, pipeline, attempt, task_id, view.units_micros, mismatch)
        case NotFound(reply) if tries >= MAX_LOOKUPS:
            note = f"the account knows no such task: {reply.message}"
            webhook_inbox.mark_processed(tx, attempt.attempt_id, task_id, note=note)
        case NotFound(reply):
            return False, f"not there yet: {reply.message}"
        case QueryFailed(_, reply):
            if tries == MAX_LOOKUPS:
                _ask(tx, pipeline, attempt, task_id, None, f"it could not be seen yet: {reply.message}")
            return False, f"it could not be seen yet: {reply.message}"
    return False, ""


def _mismatch_reason(
    tx: LedgerTransaction, pipeline: Pipeline, attempt: AttemptRow, view: TaskView, task_id: str
) -> str | None:
    """Return why the task can't be the attempt's, empty where nothing contradicts it; None where an attempt has it."""
    holder = reconciliation_queries.holder(tx.connection, attempt.account, task_id)
    if holder is not None and holder.attempt_id == attempt.attempt_id:
        return f"that step was written off with this task, which is {view.state.value} at the provider"
    if holder is not None or reconciliation_queries.holders_elsewhere(
        tx.connection, attempt.account, attempt.provider, [task_id]
    ):
        return None
    if webhook_inbox.named_elsewhere(tx.connection, attempt.account, task_id, than=attempt.attempt_id):
        return "a callback to another attempt's address names it too"
    return mismatch_reason(
        attempt, view, task_id=task_id, post_deadline_ms=int(pipeline.settings.post_deadline_s * 1000)
    )


def _ask(
    tx: LedgerTransaction,
    pipeline: Pipeline,
    attempt: AttemptRow,
    task_id: str,
    units_micros: int | None,
    mismatch: str,
) -> None:
    """Record a difference, which status and the asset check show until the operator has decided."""
    named = f"a callback named it for {attempt.video_key}/{attempt.hop}, which is {attempt.state.replace('_', ' ')}"
    adopt = (
        ""
        if attempt.task_id == task_id
        else f"if it is yours: extend-pipeline reconcile {attempt.account} --adopt {task_id}; "
    )
    accept = f"if not: extend-pipeline reconcile {attempt.account} --accept {SOURCE}/{task_id}"
    note = f"{named}{f' ({mismatch})' if mismatch else ''}; {adopt}{accept}"
    item = _item(pipeline, attempt, task_id, units_micros, note, None)
    reconciliation.record(tx, account=attempt.account, source=SOURCE, compared=[item])


def _item(
    pipeline: Pipeline, attempt: AttemptRow, task_id: str, units_micros: int | None, note: str, attempt_id: str | None
) -> ReconciliationItem:
    return ReconciliationItem(
        task_id=task_id,
        verdict=ReconciliationVerdict.UPSTREAM_ONLY,
        attempt_id=attempt_id,
        unit=pipeline.accounts[attempt.account].price.unit,
        ledger_micros=None,
        upstream_micros=units_micros,
        note=note,
    )


def _schedule_next(tx: LedgerTransaction, due: ScheduledAttempt, waiting: str) -> None:
    """Schedule the next query, at once where a callback has named another task meanwhile."""
    attempt = due.attempt
    if not waiting and not webhook_inbox.named(tx.connection, [attempt.attempt_id]):
        transitions.unschedule(tx, attempt.attempt_id)
        return
    due_at = schedule.next_callback_lookup(tries=due.look.tries, now_ms=tx.now_ms) if waiting else tx.now_ms
    look = LastLook(waiting, tries=due.look.tries + 1) if waiting else LastLook()
    transitions.schedule(
        tx, attempt.attempt_id, account=attempt.account, due_at=due_at, look=look, while_in=webhook_inbox.ENDED
    )
