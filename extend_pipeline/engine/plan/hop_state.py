"""The state of one hop by its attempts: ready for the next try, in flight, or blocked. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.plan.model import Blocker
from extend_pipeline.ledger.clock import is_ahead
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.providers.protocol import RejectReason

UNCLEAR_VALUE: Final = "duplicate_or_bad_value"
"""The stored reason for a 1201 response after which no task with our own key was found: the value may be the fault."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The hop may be tried (again). A higher generation than before was allowed by
    `resolve … resubmit`."""

    generation: int
    try_no: int
    last: AttemptRow | None


@dataclass(frozen=True, slots=True)
class InFlight:
    """An attempt is live and needs no operator."""

    attempt: AttemptRow


@dataclass(frozen=True, slots=True)
class Blocked:
    """The hop may not be tried now."""

    blocker: Blocker
    attempt: AttemptRow | None


HopState = Ready | InFlight | Blocked


def looked_up_by_key(account: Account, submit_class: str) -> bool:
    """Return whether an attempt in doubt that was sent under `submit_class` is looked up by our own key.

    The account must be class A now and must have been class A then, because a request that was sent without the key is
    never found by it, which would prove nothing.
    """
    return account.submit_class == "A" and submit_class == "A"


def classify_hop(
    where: str, tries: Sequence[AttemptRow], looks: Mapping[str, LastLook], account: Account, now_ms: int
) -> HopState:
    """Return the state of one hop by its newest attempt. `where` is VIDEO/HOP, as commands take it; `tries` are all
    attempts of one step, `looks` the results of the last looks by attempt ID. Raises ValueError for a stored hop."""
    if not tries:
        return Ready(1, 1, None)
    last = max(tries, key=lambda a: (a.generation, a.try_no))
    if last.resubmit_allowed:
        return Ready(last.generation + 1, 1, last)
    again, look = Ready(last.generation, last.try_no + 1, last), looks.get(last.attempt_id, LastLook())
    error = f": {last.error_message}" if last.error_message else ""
    match last.state:
        case S.CLAIMED | S.SENDING:
            return InFlight(last)
        case S.SUCCEEDED:
            return _not_fetched(where, last, look, account, now_ms) or InFlight(last)
        case S.SUBMITTED | S.PROCESSING:
            return _overdue(where, last, look, account, now_ms) or InFlight(last)
        case S.IN_DOUBT:
            return Blocked(_in_doubt(where, last, look, account, now_ms), last)
        case S.RELEASED if last.error_reason == UNCLEAR_VALUE:
            return _blocked(BlockReason.REJECTED, last, f"{where} was refused{error}", _how_to_fix(where))
        case S.RELEASED:
            return again
        case S.REJECTED:
            reason = RejectReason(last.error_reason or RejectReason.BAD_REQUEST)
            # the stopped account is shown as the reason; after the operator resumes it, the step is due again
            if reason.transient or reason.stops_account or reason is RejectReason.NO_KEY:
                return again
            return _blocked(BlockReason.REJECTED, last, f"{where} was refused{error}", _how_to_fix(where))
        case S.FAILED:
            pay = f"pay for another try: extend-pipeline resolve {where} resubmit"
            todo = f"change the prompt in the catalogue, or {pay}"
            return _blocked(BlockReason.FAILED, last, f"{where} failed at the provider{error}", todo)
        case S.RESULT_LOST:
            todo = (
                f"ask the provider for the file, and give it with extend-pipeline resolve {where} take FILE; "
                f"to pay again: extend-pipeline resolve {where} resubmit"
            )
            return _blocked(
                BlockReason.RESULT_LOST, last, f"{where} was paid and its file is no longer available{error}", todo
            )
        case S.QUARANTINED:
            todo = (
                f"look at the file in quarantine; give a valid one with extend-pipeline resolve {where} take FILE; "
                f"to pay again: extend-pipeline resolve {where} resubmit"
            )
            return _blocked(BlockReason.QUARANTINED, last, f"{where} came back as no valid video{error}", todo)
        case S.WRITTEN_OFF:
            todo = f"nothing, or pay for another try: extend-pipeline resolve {where} resubmit"
            return _blocked(BlockReason.WRITTEN_OFF, last, f"{where} was written off{error}", todo)
        case S.STORED:
            raise ValueError(f"{where} is stored, so there is nothing to classify")


def _blocked(reason: BlockReason, attempt: AttemptRow, message: str, todo: str) -> Blocked:
    return Blocked(Blocker(reason, message, todo), attempt)


def _how_to_fix(where: str) -> str:
    return f"fix the entry in the catalogue, or try the same again: extend-pipeline resolve {where} resubmit"


def is_overdue(submitted_ms: int | None, account: Account, now_ms: int) -> bool:
    """Return whether a running task has taken longer than the account's `patience`."""
    return submitted_ms is not None and now_ms - submitted_ms > account.patience_s * 1000


def without_room(where: str, note: str) -> Blocker:
    """Return the blocker for a paid result that our own disk did not take: of its video, and of all others, because
    what they buy would wait beside it."""
    message = f"{where} is paid, and its file waits at the provider: {note}"
    todo = "see above; it is tried again every half minute, and at once by extend-pipeline advance"
    return Blocker(BlockReason.NO_DISK_SPACE, message, todo)


def _overdue(where: str, last: AttemptRow, look: LastLook, account: Account, now_ms: int) -> Blocked | None:
    since = last.submitted_at
    if since is None or not is_overdue(since, account, now_ms):
        return None
    minutes = (now_ms - since) // 60_000
    note = f"; the last look: {look.note}" if look.note else ""
    return _blocked(
        BlockReason.OVERDUE,
        last,
        f"{where} has been running for {counted(minutes, 'minute')}{note}",
        f"ask the provider; polling continues. To give it up: extend-pipeline resolve {where} write-off",
    )


def _not_fetched(where: str, last: AttemptRow, look: LastLook, account: Account, now_ms: int) -> Blocked | None:
    """Return a blocker for a paid result whose download needs the operator, or has failed for longer than the account's
    `patience`; else None."""
    if look.cause is LookCause.NO_ROOM:
        return Blocked(without_room(where, look.note), last)
    dated_ahead = is_ahead(last.completed_at, now_ms)
    since = min(last.completed_at if last.completed_at is not None else now_ms, now_ms)
    refused = look.cause is LookCause.FETCH_REFUSED
    if not look.note or not (refused or dated_ahead or now_ms - since > account.patience_s * 1000):
        return None
    expired = last.expires_at is not None and last.expires_at <= now_ms
    kept = "was kept" if expired else "is kept"
    until = "" if last.expires_at is None else f"; it {kept} until {from_ms(last.expires_at):%Y-%m-%d %H:%M} UTC"
    minutes = counted((now_ms - since) // 60_000, "minute")
    message = f"{where} is paid, and its file has not been fetched for {minutes}: {look.note}"
    todo = "fix what it says" if refused else "ask the provider"
    give_up = f". To give it up: extend-pipeline resolve {where} write-off" if expired else ""
    return _blocked(BlockReason.NOT_FETCHED, last, f"{message}{until}", f"{todo}; it is tried again and again{give_up}")


def _in_doubt(where: str, last: AttemptRow, look: LastLook, account: Account, now_ms: int) -> Blocker:
    minutes = max(now_ms - (last.in_doubt_at or now_ms), 0) // 60_000
    error = f" ({last.error_message})" if last.error_message else ""
    message = f"{where} may or may not have been accepted{error}, for {counted(minutes, 'minute')}"
    decide = f"extend-pipeline resolve {where} adopt TASK | resubmit | write-off"
    if not looked_up_by_key(account, last.submit_class):
        message += f"; {look.note}" if look.note else ""
        waits = last.callback_digest is not None and account.callbacks is not None and minutes * 60 < account.patience_s
        wait = "wait for its callback, if extend-pipeline callbacks runs; or " if waits and not look.note else ""
        return Blocker(BlockReason.IN_DOUBT, message, f"{wait}look at the provider's console, then: {decide}")
    if look.cause in (LookCause.NO_CONTROL, LookCause.FOREIGN_TASK):
        message = f"{message}; {look.note}"
        return Blocker(BlockReason.IN_DOUBT, message, f"look at the provider's console, then: {decide}")
    patience_ms = max(account.patience_s, 2 * account.in_doubt.settle_s) * 1000
    in_vain = look.note and look.cause is not LookCause.NOT_FOUND
    if in_vain and now_ms - (last.in_doubt_at or now_ms) > patience_ms:
        todo = f"look at the provider's console; look-ups continue. To decide: {decide}"
        return Blocker(BlockReason.IN_DOUBT, f"{message}; looked up in vain, the last time: {look.note}", todo)
    checked = f"; looked up, not found {counted(last.absences, 'time')}" if last.absences else ""
    return Blocker(BlockReason.IN_DOUBT_CHECKING, message + checked, "nothing: it is looked up by its own key")
