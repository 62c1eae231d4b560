"""Record the outcome of a POST. The only place where the response to a submit becomes a state."""

from dataclasses import dataclass

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards import keys
from extend_pipeline.engine.plan.hop_state import UNCLEAR_VALUE, looked_up_by_key
from extend_pipeline.engine.polling import schedule
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import controls, transitions
from extend_pipeline.ledger.write.claims import ClaimRequest
from extend_pipeline.ledger.write.hints import webhook_inbox
from extend_pipeline.ledger.write.late_acceptance import adopt_late_task
from extend_pipeline.ledger.write.transitions import Stale
from extend_pipeline.providers.protocol import (
    Accepted,
    Answer,
    Duplicate,
    Found,
    NotFound,
    QueryFailed,
    QueryOutcome,
    Rejected,
    RejectReason,
    SubmitOutcome,
    TaskView,
    Unknown,
)


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The outcome of one POST, and of the look-up by our own key where the provider reported the key as taken."""

    request: ClaimRequest
    outcome: SubmitOutcome
    found: QueryOutcome | None = None


def record_outcome(tx: LedgerTransaction, result: SubmitResult, account: Account) -> None:
    """Turn one outcome into the attempt's next state, and into the account's where it concerns the whole account."""
    request = result.request
    match result.outcome:
        case Accepted(task_id):
            _submitted(tx, result, account, task_id, "post")
            controls.clear_backoff(tx, request.account)
        case Rejected(reason, answer, retry_after_s):
            _rejected(tx, request.attempt_id, account, reason, answer, retry_after_s)
        case Duplicate(answer):
            match result.found:
                case Found(view) if belongs(view, request.external_task_id, request.parent_video_id):
                    _submitted(tx, result, account, view.task_id, "lookup")
                case Found():
                    in_doubt(tx, request, account, "the key was found on a task of another video", answer)
                case NotFound() | QueryFailed() | None:
                    in_doubt(tx, request, account, UNCLEAR_VALUE, answer)
        case Unknown(cause, answer):
            in_doubt(tx, request, account, cause, answer)


def belongs(view: TaskView, external_task_id: str, parent_video_id: str) -> bool:
    """Return whether a task can be this attempt's: neither its key nor its parent, where reported, may differ."""
    own_key = view.external_task_id in (None, external_task_id)
    return own_key and view.parent_video_id in (None, parent_video_id)


def in_doubt(
    tx: LedgerTransaction, attempt: ClaimRequest | AttemptRow, account: Account, cause: str, answer: Answer | None
) -> None:
    """Put an attempt in doubt and, where it can be looked up or a callback has named its task already, schedule that
    look-up for now. `attempt` is its claim or its row."""
    attempt_id = attempt.attempt_id
    data = evidence(cause, answer) if answer else {"error_reason": cause, "error_message": cause}
    moved = transitions.move(tx, attempt_id, to=S.IN_DOUBT, expect=frozenset({S.SENDING}), data=data)
    if isinstance(moved, Stale):
        if moved.state is not S.IN_DOUBT:
            transitions.note(tx, "late_answer", attempt_id, data)
    elif looked_up_by_key(account, attempt.submit_class) or webhook_inbox.named(tx.connection, [attempt_id]):
        transitions.schedule(tx, attempt_id, account=account.name, due_at=tx.now_ms)


def evidence(reason: str, answer: Answer) -> dict[str, str | None]:
    """Return the columns that show the operator the provider's response."""
    return {
        "error_reason": reason,
        "error_code": answer.code or (str(answer.http_status) if answer.http_status else None),
        "error_message": answer.message,
        "evidence": answer.raw,
    }


def _submitted(tx: LedgerTransaction, result: SubmitResult, account: Account, task_id: str, found_by: str) -> None:
    due_at = schedule.first_poll(account, tx.now_ms)
    request = result.request
    moved = transitions.submitted(tx, request.attempt_id, task_id=task_id, found_by=found_by, due_at=due_at)
    if isinstance(moved, Stale) and moved.state is S.SENDING:
        cause = f"the provider answered with task {task_id}, which another attempt holds"
        in_doubt(tx, request, account, cause, None)
    elif isinstance(moved, Stale) and moved.state is S.WRITTEN_OFF:
        adopt_late_task(tx, request.attempt_id, task_id=task_id)


def _rejected(
    tx: LedgerTransaction,
    attempt_id: str,
    account: Account,
    reason: RejectReason,
    answer: Answer,
    retry_after_s: float | None,
) -> None:
    data = evidence(reason.value, answer)
    moved = transitions.move(tx, attempt_id, to=S.REJECTED, expect=frozenset({S.SENDING}), data=data)
    if isinstance(moved, Stale) and moved.state is S.IN_DOUBT:
        # another process took this one for dead during its POST; the response settles the doubt
        transitions.move(tx, attempt_id, to=S.RELEASED, expect=frozenset({S.IN_DOUBT}), data=data)
        transitions.unschedule(tx, attempt_id)
    elif isinstance(moved, Stale):
        transitions.note(tx, "late_answer", attempt_id, data)
    if reason.value in keys.OF_A_KEY:
        keys.note_refusal(tx, account, reason=reason.value, answer=answer)
    elif reason.stops_account:
        controls.stop_account(tx, account.name, reason=reason.value, message=answer.message)
    if reason.transient:
        refusals = controls.backoff_failures(tx, account.name)
        wait_ms = schedule.submit_backoff_ms(refusals=refusals, retry_after_s=retry_after_s)
        controls.back_off(tx, account.name, wait_ms=wait_ms, note=f"{reason.value}: {answer.message}")
