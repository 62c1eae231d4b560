"""Turn the outcome of a query into the attempt's next state, or into the time of the next poll."""

import random
from enum import StrEnum

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.clock import OF_THIS_MACHINE
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.deductions import check_deduction
from extend_pipeline.ledger.clock import is_ahead
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read.attempt_row import AttemptRow, DueAttempt
from extend_pipeline.ledger.states import POLLED
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import controls, transitions
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome, TaskState, TaskView
from extend_pipeline.providers.registry import spec_of


class Observed(StrEnum):
    """What one query showed of a task."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RUNNING = "running"
    FAULT = "fault"  # the query failed, or found no task


def is_unchanged(due: DueAttempt, outcome: QueryOutcome, now_ms: int) -> bool:
    """Return whether a query showed only that a task still runs, in the state in which the ledger has it."""
    if not isinstance(outcome, Found) or outcome.view.warnings or is_ahead(due.submitted_at, now_ms):
        return False
    state = outcome.view.state
    return state is TaskState.SUBMITTED or (state is TaskState.PROCESSING and due.state == S.PROCESSING.value)


def observe(tx: LedgerTransaction, account: Account, due: DueAttempt, outcome: QueryOutcome) -> Observed:
    """Record the outcome of one query, and return what it showed."""
    match outcome:
        case Found(view):
            return _apply_view(tx, account, due, view)
        case NotFound(answer):
            _schedule_next(tx, account, due, f"the provider knows no such task: {answer.message}", failed=True)
            return Observed.FAULT
        case QueryFailed(fault, answer, retry_after_s):
            if fault.value in OF_THIS_MACHINE:
                controls.stop_account(tx, account.name, reason=fault.value, message=answer.message)
            note = f"{fault.value}: {answer.message}"
            _schedule_next(tx, account, due, note, failed=True, retry_after_s=retry_after_s or 0)
            return Observed.FAULT


def success_data(provider: str, view: TaskView, now_ms: int) -> dict[str, object]:
    """Return the columns of a success. A result expires when the task itself says so, else after the time for which its
    provider keeps results. That time begins when the task was done, but not after now, since a provider's clock may be
    ahead."""
    output = view.outputs[0]
    done_ms = min(view.updated_ms or now_ms, now_ms)
    return {
        "video_id": output.video_id,
        "url": output.url,
        "watermark_url": output.watermark_url,
        "parent_url": view.parent_url,
        "reported_duration_ms": output.duration_ms,
        "reported_micros": view.units_micros,
        "expires_at": view.expires_ms or done_ms + spec_of(provider).result_life_ms,
    }


def _apply_view(tx: LedgerTransaction, account: Account, due: DueAttempt, view: TaskView) -> Observed:
    attempt = tx.rows.attempt(due.attempt_id)
    assert attempt is not None
    match view.state:
        case TaskState.SUCCEEDED:
            data = success_data(account.provider, view, tx.now_ms)
            if isinstance(transitions.move(tx, attempt.attempt_id, to=S.SUCCEEDED, expect=POLLED, data=data), Moved):
                transitions.schedule(tx, attempt.attempt_id, account=account.name, due_at=tx.now_ms)
                check_deduction(tx, account, attempt, view.units_micros)
            return Observed.SUCCEEDED
        case TaskState.FAILED:
            data = {
                "error_reason": "failed",
                "error_code": view.status_word,
                "error_message": view.message or "the provider gave no reason",
                "evidence": view.raw,
                "reported_micros": view.units_micros,
            }
            if isinstance(transitions.move(tx, attempt.attempt_id, to=S.FAILED, expect=POLLED, data=data), Moved):
                transitions.unschedule(tx, attempt.attempt_id)
                if attempt.failed_tasks_charged == "no":
                    check_deduction(tx, account, attempt, view.units_micros, expected=0)
            return Observed.FAILED
        case TaskState.PROCESSING:
            _redate(tx, attempt, view)
            if attempt.state is S.SUBMITTED:  # it never goes back to this state
                transitions.move(tx, attempt.attempt_id, to=S.PROCESSING, expect=frozenset({S.SUBMITTED}))
        case TaskState.SUBMITTED:
            _redate(tx, attempt, view)
    _schedule_next(tx, account, due, "; ".join(view.warnings), failed=False)
    return Observed.RUNNING


def _redate(tx: LedgerTransaction, attempt: AttemptRow, view: TaskView) -> None:
    """Date a running task by its provider where a clock that was ahead dated it, so that it becomes overdue in time."""
    made_ms = view.created_ms
    if made_ms is not None and is_ahead(attempt.submitted_at, tx.now_ms) and not is_ahead(made_ms, tx.now_ms):
        transitions.redated(tx, attempt.attempt_id, submitted_at=made_ms)


def _schedule_next(
    tx: LedgerTransaction,
    account: Account,
    due: DueAttempt,
    note: str,
    *,
    failed: bool,
    retry_after_s: float = 0,
) -> None:
    tries = due.tries + 1 if failed else 0
    jitter = random.uniform(-1, 1)
    due_at = schedule.next_poll(account, tries=tries, retry_after_s=retry_after_s, now_ms=tx.now_ms, jitter=jitter)
    look = LastLook(note, tries=tries)
    transitions.schedule(tx, due.attempt_id, account=account.name, due_at=due_at, look=look, while_in=POLLED)
