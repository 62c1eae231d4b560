"""A person's decisions about one hop: adopt a task, pay again, or write it off. All are events with who and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from extend_pipeline.engine.outcome import belongs
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.ledger import controls, reads, transitions
from extend_pipeline.ledger.states import LIVE, AttemptState
from extend_pipeline.ledger.transitions import Moved
from extend_pipeline.providers.outcomes import Absent, Seen, Unanswered

S = AttemptState


@dataclass(frozen=True, slots=True)
class Resolved:
    """The decision is written down; `message` says what follows."""

    message: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The decision can't be carried out; nothing changed."""

    message: str


def split_where(where: str) -> tuple[str, int]:
    """VIDEO/HOP as a person types it. Raises ValueError with the right form."""
    key, slash, hop = where.rpartition("/")
    if not slash or not key or not hop.isdigit() or int(hop) < 1:
        raise ValueError(f"{where!r} is not VIDEO/HOP, such as harbour-dawn/3")
    return key, int(hop)


def adopt(pipeline: Pipeline, where: str, task_id: str, *, who: str, why: str) -> Resolved | Declined:
    """Say which upstream task an attempt in doubt is. The task is looked at first: it must exist in the attempt's own
    account, be made from the attempt's own parent, and belong to no other attempt."""
    row = _newest(pipeline, where)
    if row is None or row.state != S.IN_DOUBT.value:
        return Declined(f"{where} is not in doubt{_is(row)}; only what is in doubt can adopt a task")
    if row.account not in pipeline.accounts:
        return Declined(f"accounts.yaml names no account {row.account}; put it back first")
    match pipeline.provider(row.account).query(task_id):
        case Absent(answer):
            return Declined(f"account {row.account} knows no task {task_id}: {answer.message}")
        case Unanswered(_, answer):
            return Declined(f"task {task_id} could not be looked at: {answer.message}; try again")
        case Seen(view):
            pass
    if not belongs(view, row.external_task_id, row.parent_video_id):
        made_from = view.parent_video_id or "another video"
        return Declined(f"task {task_id} is made from {made_from}, {where} from {row.parent_video_id}")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=_actor(who, why)) as tx:
        moved = transitions.submitted(tx, row.attempt_id, task_id=view.task_id, found_by="adopt", due_at=tx.now_ms)
    if not isinstance(moved, Moved):
        return Declined(f"task {task_id} belongs to another attempt already")
    return Resolved(f"{where} is task {view.task_id} now, and is polled and fetched like any other")


def resubmit(pipeline: Pipeline, where: str, *, who: str, why: str) -> Resolved | Declined:
    """Allow the hop to be paid for again, as a new generation. What is in doubt is written off first: its charge is
    booked, since it may be real, and the new one is reserved on top."""
    row = _newest(pipeline, where)
    if row is None:
        return Declined(f"nothing was ever submitted for {where}")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=_actor(who, why)) as tx:
        if row.state == S.IN_DOUBT.value:
            controls.write_off(tx, row.attempt_id, data=_why(who, why))
        allowed = controls.allow_resubmit(tx, row.attempt_id, why=f"{who}: {why}")
    if isinstance(allowed, Moved):
        return Resolved(f"{where} will be submitted again, and paid for again, with the next advance")
    still = "; write it off first if you are sure that it is lost" if AttemptState(row.state) in LIVE else ""
    return Declined(f"{where} can't be paid for again{_is(row)}{still}")


def write_off(pipeline: Pipeline, where: str, *, who: str, why: str) -> Resolved | Declined:
    """Give a task up and book its charge."""
    row = _newest(pipeline, where)
    if row is None:
        return Declined(f"nothing was ever submitted for {where}")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=_actor(who, why)) as tx:
        moved = controls.write_off(tx, row.attempt_id, data=_why(who, why))
    if isinstance(moved, Moved):
        again = f"extend-pipeline resolve {where} resubmit"
        return Resolved(f"{where} is written off and its charge is booked; to pay for another try: {again}")
    return Declined(f"{where} can't be written off{_is(row)}")


def _newest(pipeline: Pipeline, where: str) -> Row[Any] | None:
    key, hop = split_where(where)
    with pipeline.ledger.read() as connection:
        rows = [row for row in reads.attempts_of(connection, [key]) if row.hop == hop]
    live = [row for row in rows if AttemptState(row.state) in LIVE]
    if live:
        return live[0]
    return max(rows, key=lambda row: (row.claimed_at, row.generation, row.try_no), default=None)


def _is(row: Row[Any] | None) -> str:
    return ": nothing was ever submitted for it" if row is None else f": it is {row.state}"


def _actor(who: str, why: str) -> str:
    return f"{who} ({why})" if why else who


def _why(who: str, why: str) -> dict[str, str]:
    return {"error_reason": "written_off", "error_message": f"written off by {who}{': ' + why if why else ''}"}
