"""Moves of one attempt: compare-and-set on its state, then the event. Only this module appends `attempt_*` events after
a claim.

Each function takes an open transaction and returns `Moved` or `Stale`. A stale move is no error: another worker was
first, or the provider went back in state; the late evidence is kept as an event.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.clock import is_ahead, lease_runs
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.states import LIVE, MOVES, AttemptState

S = AttemptState

_NO_LOOK: Final = LastLook()
_KIND: Final[dict[AttemptState, str]] = {state: f"attempt_{state.value}" for state in S}


@dataclass(frozen=True, slots=True)
class Moved:
    """The attempt is now in the requested state."""

    attempt_id: str
    state: AttemptState


@dataclass(frozen=True, slots=True)
class Stale:
    """The attempt was not in an expected state; `state` is its state (None: there is no such attempt)."""

    attempt_id: str
    state: AttemptState | None


def move(
    tx: LedgerTransaction,
    attempt_id: str,
    *,
    to: AttemptState,
    expect: frozenset[AttemptState],
    data: Mapping[str, Any] | None = None,
) -> Moved | Stale:
    """Move one attempt if its state is an expected one and the table of moves allows it."""
    row = tx.rows.attempt(attempt_id)
    if row is None:
        return Stale(attempt_id, None)
    if row.state not in expect or to not in MOVES[row.state]:
        return Stale(attempt_id, row.state)
    tx.append(_KIND[to], attempt_id=attempt_id, video_key=row.video_key, account=row.account, data=data)
    return Moved(attempt_id, to)


def mark_sending(tx: LedgerTransaction, attempt_id: str, *, owner: str, lease_until: int) -> Moved | Stale:
    """Record that the first byte may leave from now on. Only the owner of the claim may, and only while its lease
    runs: a worker that was stopped for longer than its lease finds the claim gone or ended, and sends nothing.
    `lease_until` is UTC ms."""
    row = tx.rows.attempt(attempt_id)
    if row is None or row.owner != owner or not lease_runs(row.claimed_at, row.lease_until, tx.now_ms):
        return Stale(attempt_id, None if row is None else row.state)
    return move(tx, attempt_id, to=S.SENDING, expect=frozenset({S.CLAIMED}), data={"lease_until": lease_until})


def submitted(tx: LedgerTransaction, attempt_id: str, *, task_id: str, found_by: str, due_at: int) -> Moved | Stale:
    """Record that a task with this id exists for the attempt. `found_by` is post, lookup, list, callback or adopt;
    `due_at` (UTC ms) is the first poll.

    A response after the attempt has left `sending` and `in_doubt` is kept as `late_answer`, and so is a task id that
    another attempt of the account owns, because one task never pays for two attempts.
    """
    row = tx.rows.attempt(attempt_id)
    if row is None:
        return Stale(attempt_id, None)
    holder = tx.rows.holder(row.account, task_id)
    if holder is None:
        expect = frozenset({S.SENDING, S.IN_DOUBT})
        moved = move(tx, attempt_id, to=S.SUBMITTED, expect=expect, data={"task_id": task_id, "found_by": found_by})
        if isinstance(moved, Moved):
            schedule(tx, attempt_id, account=row.account, due_at=due_at)
            return moved
    if holder != attempt_id:
        note = {"task_id": task_id, "found_by": found_by, "held_by": holder}
        tx.append("late_answer", attempt_id=attempt_id, account=row.account, data=note)
    return Stale(attempt_id, state_of(tx, attempt_id))


def absent(tx: LedgerTransaction, attempt_id: str, *, min_gap_ms: int) -> int:
    """Count one well-formed "no such task" for an attempt in doubt. Return how many there are now.

    Two responses closer together than `min_gap_ms` are one observation. If the last one is dated after now, a clock was
    or is wrong and the time between them is unknown, so the count begins anew.
    """
    row = tx.rows.attempt(attempt_id)
    if row is None or row.state is not S.IN_DOUBT:
        return 0
    went_back = is_ahead(row.last_absent_at, tx.now_ms)
    if row.last_absent_at is not None and not went_back and tx.now_ms - row.last_absent_at < min_gap_ms:
        return row.absences
    count = 1 if went_back else row.absences + 1
    place = {"attempt_id": attempt_id, "video_key": row.video_key, "account": row.account}
    tx.append("attempt_absent", **place, data={"absences": count} if went_back else None)
    return count


def note(tx: LedgerTransaction, kind: str, attempt_id: str, data: Mapping[str, Any]) -> None:
    """Record evidence that changes no state (`late_answer`, `upstream_went_back`)."""
    tx.append(kind, attempt_id=attempt_id, data=data)


def redated(tx: LedgerTransaction, attempt_id: str, *, submitted_at: int) -> None:
    """Replace a task's submit time, which a wrong clock of ours wrote, by the provider's (UTC ms)."""
    tx.append("attempt_redated", attempt_id=attempt_id, data={"submitted_at": submitted_at})


def refresh_url(tx: LedgerTransaction, attempt_id: str, *, url: str, expires_at: int | None) -> None:
    """Record a fresh URL of a paid result whose file is not stored yet, or is missing from the store."""
    if state_of(tx, attempt_id) in (S.SUCCEEDED, S.STORED):
        tx.append("attempt_url_refreshed", attempt_id=attempt_id, data={"url": url, "expires_at": expires_at})


def examined(tx: LedgerTransaction, attempt_id: str, data: Mapping[str, Any]) -> None:
    """Record the results of a second analysis of a stored file."""
    if state_of(tx, attempt_id) is S.STORED:
        tx.append("attempt_examined", attempt_id=attempt_id, data=data)


def stored(tx: LedgerTransaction, attempt_id: str, *, data: Mapping[str, Any]) -> Moved | Stale:
    """Record that the file is in the store. This also holds if another worker gave it up meanwhile, unless an
    operator has allowed since to pay for the hop again."""
    row = tx.rows.attempt(attempt_id)
    if row is None or row.state is S.SUCCEEDED or row.resubmit_allowed:
        return move(tx, attempt_id, to=S.STORED, expect=frozenset({S.SUCCEEDED}), data=data)
    given_up = frozenset({S.RESULT_LOST, S.QUARANTINED})
    late = {**data, "error_reason": None, "error_code": None, "error_message": None}
    return move(tx, attempt_id, to=S.STORED, expect=given_up, data=late)


def state_of(tx: LedgerTransaction, attempt_id: str) -> AttemptState | None:
    """Return the attempt's state inside this transaction; None if there is no such attempt."""
    row = tx.rows.attempt(attempt_id)
    return None if row is None else row.state


# --- hints -------------------------------------------------------------------------------------------------------


def schedule(
    tx: LedgerTransaction,
    attempt_id: str,
    *,
    account: str,
    due_at: int,
    look: LastLook = _NO_LOOK,
    while_in: Collection[AttemptState] = LIVE,
) -> None:
    """Set when the attempt is due (UTC ms) and the result of the last look. A hint: losing it costs a poll.

    Does nothing if the attempt is no longer in one of `while_in`. A paused worker may call this late, and scheduling a
    finished attempt would leave a row that no worker ever takes.
    """
    if state_of(tx, attempt_id) not in while_in:
        return
    place = {"attempt_id": attempt_id, "account": account, "due_at": due_at, "owner": ""}
    tx.rows.put(tables.schedule, place | {name: getattr(look, name) for name in LastLook.__slots__})


def unschedule(tx: LedgerTransaction, attempt_id: str) -> None:
    """Remove the attempt from the schedule, because no worker needs to look at it any more."""
    tx.rows.remove(tables.schedule, attempt_id)
