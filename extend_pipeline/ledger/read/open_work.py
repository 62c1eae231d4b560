"""Reads of what is open, for rounds with tens of thousands of running tasks: each returns only what needs a look."""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, or_, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.attempt_row import AttemptRow, attempt_row
from extend_pipeline.ledger.read.json_rows import all_rows
from extend_pipeline.ledger.read.queries import among, rows_by
from extend_pipeline.ledger.read.rows import VideoRow, video_row
from extend_pipeline.ledger.states import ADOPTED, POLLED, UNFINISHED, AttemptState, VideoState


class RunningVideo(NamedTuple):
    """A video that waits for a task that runs since `submitted_at` (UTC ms), or for its result (None)."""

    video_key: str
    account: str
    submitted_at: int | None


_VIDEOS, _ATTEMPTS, _SCHEDULE = tables.videos, tables.attempts, tables.schedule
_POLLED: Final = [state.value for state in POLLED]
_RUNNING: Final = (
    select(_VIDEOS.c.video_key, _VIDEOS.c.account, case((_ATTEMPTS.c.state.in_(_POLLED), _ATTEMPTS.c.submitted_at)))
    .select_from(_ATTEMPTS)
    .join(_SCHEDULE, _SCHEDULE.c.attempt_id == _ATTEMPTS.c.attempt_id)
    .join(_VIDEOS, _VIDEOS.c.video_key == _ATTEMPTS.c.video_key)
    .where(
        _ATTEMPTS.c.state.in_([*_POLLED, AttemptState.SUCCEEDED.value]),
        # a fetch that has failed may need a person
        or_(_ATTEMPTS.c.state != AttemptState.SUCCEEDED.value, _SCHEDULE.c.note == ""),
        func.coalesce(_VIDEOS.c.state, "") == VideoState.WORKING.value,  # keeps the database from this index
        _VIDEOS.c.branch_of.is_(None),
        _VIDEOS.c.account == _ATTEMPTS.c.account,
        _VIDEOS.c.hops_done + 1 == _ATTEMPTS.c.hop,
    )
)
_UNMEASURED: Final = select(_VIDEOS).where(
    _VIDEOS.c.state.in_([state.value for state in UNFINISHED]),
    _VIDEOS.c.source_probed_ms.is_(None),
    _VIDEOS.c.branch_of.is_(None),
    among(_VIDEOS.c.provider),
)
_PAID_TASKS: Final = (
    select(_ATTEMPTS)
    .where(
        _ATTEMPTS.c.state.in_([*_POLLED, AttemptState.SUCCEEDED.value]),
        or_(_ATTEMPTS.c.state == AttemptState.SUCCEEDED.value, _ATTEMPTS.c.submitted_at < bindparam("before_ms")),
        _ATTEMPTS.c.chain_digest != ADOPTED,
    )
    .order_by(_ATTEMPTS.c.claimed_at)
)


def running_videos(connection: Connection) -> list[RunningVideo]:
    """Return the videos for whose next hop a task runs, as their last walk has found, or a result is to be fetched, if
    no fetch of it has failed; branches are left out."""
    return [RunningVideo._make(row) for row in all_rows(connection, _RUNNING, {})]


def unmeasured(connection: Connection, *, providers: Collection[str], keys: Collection[str] | None) -> list[VideoRow]:
    """Return the open videos of the providers (all or the named ones) that begin with a source of unmeasured length."""
    wanted = None if keys is None else frozenset(keys)
    rows = rows_by(connection, _UNMEASURED, providers)
    return [video_row(row) for row in rows if wanted is None or row.video_key in wanted]


def paid_tasks(connection: Connection, *, before_ms: int) -> list[AttemptRow]:
    """Return the attempts whose result is to be fetched, and those whose task was submitted before a time (UTC ms) and
    still runs; oldest claim first. Adopted tasks are left out."""
    values = {"before_ms": before_ms}
    return [attempt_row(row) for row in connection.execute(_PAID_TASKS, values)]
