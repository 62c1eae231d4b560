"""Turns what a query showed of a task into the attempt's next state, or into when to look again."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import Row

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.clock import OF_THIS_MACHINE
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.deductions import check_deduction
from extend_pipeline.ledger.clock import is_ahead
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import controls, transitions
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome, TaskState, TaskView
from extend_pipeline.providers.registry import spec_of

S = AttemptState


def observe(tx: LedgerTransaction, account: Account, row: Row[Any], outcome: QueryOutcome) -> str:
    """Write down one answer; says `succeeded`, `failed`, `running`, or `fault` where it told nothing."""
    match outcome:
        case Found(view):
            return _seen(tx, account, row, view)
        case NotFound(answer):
            _again(tx, account, row, f"the provider knows no such task: {answer.message}", failed=True)
            return "fault"
        case QueryFailed(fault, answer, retry_after_s):
            if fault.value in OF_THIS_MACHINE:
                controls.stop_account(tx, account.name, reason=fault.value, message=answer.message)
            _again(tx, account, row, f"{fault.value}: {answer.message}", failed=True, least_s=retry_after_s or 0)
            return "fault"


def success_data(provider: str, view: TaskView, now_ms: int) -> dict[str, object]:
    """The columns of a success. A result is kept until the time that it tells itself, else for as long as its provider
    keeps results, from when it was done: no later than now, whatever an upstream's clock says."""
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


def _seen(tx: LedgerTransaction, account: Account, row: Row[Any], view: TaskView) -> str:
    match view.state:
        case TaskState.SUCCEEDED:
            data = success_data(account.provider, view, tx.now_ms)
            if isinstance(transitions.move(tx, row.attempt_id, to=S.SUCCEEDED, expect=POLLED, data=data), Moved):
                transitions.schedule(tx, row.attempt_id, account=account.name, due_at=tx.now_ms)
                check_deduction(tx, account, row, view.units_micros)
            return "succeeded"
        case TaskState.FAILED:
            data = {
                "error_reason": "failed",
                "error_code": view.status_word,
                "error_message": view.message or "the provider gave no reason",
                "evidence": view.raw,
                "reported_micros": view.units_micros,
            }
            if isinstance(transitions.move(tx, row.attempt_id, to=S.FAILED, expect=POLLED, data=data), Moved):
                transitions.unschedule(tx, row.attempt_id)
                if row.failed_tasks_charged == "no":
                    check_deduction(tx, account, row, view.units_micros, expected=0)
            return "failed"
        case TaskState.PROCESSING:
            _redate(tx, row, view)
            transitions.move(tx, row.attempt_id, to=S.PROCESSING, expect=frozenset({S.SUBMITTED}))
        case TaskState.SUBMITTED:
            _redate(tx, row, view)
    _again(tx, account, row, "; ".join(view.warnings), failed=False)
    return "running"


def _redate(tx: LedgerTransaction, row: Row[Any], view: TaskView) -> None:
    """Date a running task by its provider's word where a clock that was ahead dated it: it would be overdue late."""
    made_ms = view.created_ms
    if made_ms is not None and is_ahead(row.submitted_at, tx.now_ms) and not is_ahead(made_ms, tx.now_ms):
        transitions.redated(tx, row.attempt_id, submitted_at=made_ms)


def _again(
    tx: LedgerTransaction, account: Account, row: Row[Any], note: str, *, failed: bool, least_s: float = 0
) -> None:
    tries = row.tries + 1 if failed else 0
    due_at = tx.now_ms + schedule.poll_gap_ms(account, tries=tries, asked_s=least_s, chance=random.uniform(-1, 1))
    transitions.schedule(
        tx, row.attempt_id, account=account.name, due_at=due_at, note=note, tries=tries, while_in=POLLED
    )
