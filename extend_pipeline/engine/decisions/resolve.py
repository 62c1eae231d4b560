"""The operator's decisions about one hop: adopt a task, pay again, or write it off. Each is an event with a reason."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.inputs import chain_names
from extend_pipeline.engine.submit.record_outcome import belongs
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries, reconciliation_queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import LIVE
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import controls, transitions
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, TaskView


@dataclass(frozen=True, slots=True)
class Resolved:
    """The decision is recorded; `message` describes what follows."""

    message: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The decision can't be carried out, and nothing changed; `message` gives the reason."""

    message: str


def split_where(where: str) -> tuple[str, int]:
    """Parse VIDEO/HOP into the video's key and the hop. Raise ValueError that shows the right form."""
    key, slash, hop = where.rpartition("/")
    if not slash or not key or not hop.isdecimal() or int(hop) < 1:
        raise ValueError(f"{where!r} is not VIDEO/HOP, such as harbour-dawn/3")
    return key, int(hop)


def adopt(pipeline: Pipeline, where: str, task_id: str, *, who: str, why: str) -> Resolved | Declined:
    """Assign a provider's task to an attempt in doubt. The task is queried first: it must exist in the attempt's own
    account, be made from the attempt's own parent, and belong to no other attempt."""
    row = newest_attempt(pipeline, where)
    if row is None or row.state is not S.IN_DOUBT:
        return Declined(f"{where} is not in doubt{state_of(row)}; only what is in doubt can adopt a task")
    if row.account not in pipeline.accounts:
        return Declined(f"accounts.yaml names no account {row.account}; put it back first")
    view = query_task(pipeline, row.account, task_id)
    if isinstance(view, Declined):
        return view
    if not belongs(view, row.external_task_id, row.parent_video_id):
        made_from = view.parent_video_id or "another video"
        return Declined(f"task {task_id} is made from {made_from}, {where} from {row.parent_video_id}")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor_of(who, why)) as tx:
        elsewhere = reconciliation_queries.holders_elsewhere(tx.connection, row.account, row.provider, [view.task_id])
        if (owner := elsewhere.get(view.task_id)) is not None:
            return Declined(f"task {task_id} belongs to {owner.where} of account {owner.account} already")
        moved = transitions.submitted(tx, row.attempt_id, task_id=view.task_id, found_by="adopt", due_at=tx.now_ms)
    if isinstance(moved, Moved):
        return Resolved(f"{where} is task {view.task_id} now, and is polled and fetched like any other")
    if moved.state is not S.IN_DOUBT:
        return Declined(f"{where} is not in doubt any more, it is {moved.state}; nothing was changed")
    return Declined(f"task {task_id} belongs to another attempt already")


def query_task(pipeline: Pipeline, account: str, task_id: str) -> TaskView | Declined:
    """Return a task as the account's provider shows it, or Declined where it shows none."""
    match pipeline.provider(account).query(task_id):
        case NotFound(answer):
            return Declined(f"account {account} knows no task {task_id}: {answer.message}")
        case QueryFailed(_, answer):
            return Declined(f"task {task_id} could not be looked at: {answer.message}; try again")
        case Found(view):
            return view


def resubmit(
    pipeline: Pipeline, where: str, *, who: str, why: str, seen: AttemptRow | None = None
) -> Resolved | Declined:
    """Allow the hop to be paid for again, as a new generation. An attempt in doubt is written off first: its charge is
    booked, since it may be real, and the new one is reserved on top. `seen` is the attempt that the operator was shown;
    the decision is declined where it has changed since."""

    def allow(tx: LedgerTransaction, row: AttemptRow) -> Resolved | Declined:
        if row.state is S.IN_DOUBT:
            controls.write_off(tx, row.attempt_id, data=_why(who, why))
        if isinstance(controls.allow_resubmit(tx, row.attempt_id, why=f"{who}: {why}"), Moved):
            return Resolved(f"{where} will be submitted again, and paid for again, with the next advance")
        hint = "; write it off first if you are sure that it is lost" if row.state in LIVE else ""
        return Declined(f"{where} can't be paid for again{state_of(row)}{hint}")

    return _decide(pipeline, where, allow, seen=seen, actor=actor_of(who, why))


def write_off(
    pipeline: Pipeline, where: str, *, who: str, why: str, seen: AttemptRow | None = None
) -> Resolved | Declined:
    """Write an attempt off and book its charge. `seen` is as for `resubmit`."""

    def give_up(tx: LedgerTransaction, row: AttemptRow) -> Resolved | Declined:
        if isinstance(controls.write_off(tx, row.attempt_id, data=_why(who, why)), Moved):
            command = f"extend-pipeline resolve {where} resubmit"
            return Resolved(f"{where} is written off and its charge is booked; to pay for another try: {command}")
        return Declined(f"{where} can't be written off{state_of(row)}")

    return _decide(pipeline, where, give_up, seen=seen, actor=actor_of(who, why))


def _decide(
    pipeline: Pipeline,
    where: str,
    apply: Callable[[LedgerTransaction, AttemptRow], Resolved | Declined],
    *,
    seen: AttemptRow | None,
    actor: str,
) -> Resolved | Declined:
    """Apply a decision in one transaction to the attempt that was seen, or else to the newest one; decline it where
    nothing was ever submitted or the attempt has changed."""
    row = seen or newest_attempt(pipeline, where)
    if row is None:
        return Declined(f"nothing was ever submitted for {where}")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        return _changed(tx, pipeline, where, row) or apply(tx, row)


def newest_attempt(pipeline: Pipeline, where: str) -> AttemptRow | None:
    """Return the attempt that a decision about VIDEO/HOP concerns, to be looked at first; None where nothing was ever
    submitted."""
    with pipeline.ledger.read() as connection:
        return _newest(connection, pipeline, where)


def _newest(connection: Connection, pipeline: Pipeline, where: str) -> AttemptRow | None:
    """Return the live attempt, else the last one with the catalogue's current parameters, which is the one that a plan
    shows, else the last one."""
    key, hop = split_where(where)
    rows = [row for row in queries.attempts_of(connection, [key]) if row.hop == hop]
    live = [row for row in rows if row.state in LIVE]
    if live:
        return live[0]
    videos = pipeline.configuration.catalogue.videos
    name = None
    if rows and key in videos:
        names = chain_names(pipeline, connection, [key])
        name = chain.digests(videos[key], hop, videos=videos, names=names)[-1]
    current = [row for row in rows if row.chain_digest == name]
    if current:
        return max(current, key=lambda row: (row.generation, row.try_no))
    return max(rows, key=lambda row: (row.claimed_at, row.generation, row.try_no), default=None)


def _changed(tx: LedgerTransaction, pipeline: Pipeline, where: str, seen: AttemptRow) -> Declined | None:
    """Return why a decision about the attempt as shown can't be applied: a look-up, a callback or another operator has
    changed it. Writing off a task that has been found would lose its file, and paying again would pay twice."""
    now = _newest(tx.connection, pipeline, where)
    if now is None or (now.attempt_id, now.state) == (seen.attempt_id, seen.state):
        return None
    what = f"it was {seen.state}" if now.attempt_id == seen.attempt_id else "it was tried again"
    return Declined(f"{where} has changed meanwhile: {what}, and it is {now.state} now; nothing was done, look again")


def state_of(row: AttemptRow | None) -> str:
    """Return the state of an attempt, as the end of a sentence about its hop."""
    return ": nothing was ever submitted for it" if row is None else f": it is {row.state}"


def actor_of(who: str, why: str) -> str:
    """Return the actor of an event: the operator, with the reason for the decision."""
    return f"{who} ({why})" if why else who


def _why(who: str, why: str) -> dict[str, str]:
    return {"error_reason": "written_off", "error_message": f"written off by {who}{': ' + why if why else ''}"}
