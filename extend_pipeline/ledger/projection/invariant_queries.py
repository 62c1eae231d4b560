"""The statements of the invariants: each selects what is broken in a chunk, through an index. A chunk lies between two
keys, or is some videos.

What belongs to a row is looked up by scalar subqueries. PostgreSQL would answer an EXISTS for a whole chunk at once, by
reading all attempts or all events for each chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, false, func, or_, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.chunks import SKIPPED, among_keys, between
from extend_pipeline.ledger.states import LIVE, SLOT_HOLDING
from extend_pipeline.ledger.states import AttemptState as S

_RESERVED: Final = (S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING)
_FREE: Final = (S.RELEASED, S.REJECTED)
_SCHEDULED: Final = (S.SUBMITTED, S.PROCESSING, S.SUCCEEDED)

_a: Final = tables.attempts.c
_c: Final = tables.charges.c
_e: Final = tables.events.c


def _among(column: ColumnElement[Any], states: Any) -> ColumnElement[bool]:
    return column.in_(sorted(state.value for state in states))


def _is(state: S) -> ColumnElement[bool]:
    return _a.state == state.value


EVENTS: Final = select(func.count()).where(between(_e.seq))
_earlier: Final = tables.events.alias("earlier")
_sent_before: Final = (
    select(func.count())
    .where(
        _earlier.c.attempt_id == _e.attempt_id,
        _earlier.c.kind == "attempt_sending",
        _earlier.c.seq + 0 < _e.seq,  # no key: without statistics PostgreSQL would read all numbers up to this one
    )
    .scalar_subquery()
)
UNSENT: Final = select(_e.attempt_id).where(between(_e.seq), _e.kind == "attempt_submitted", _sent_before == 0)


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """Count the rows of a group that fulfil a condition. A condition in WHERE would have SQLite read all rows of a
    state, and not those of the chunk."""
    return func.sum(case((condition, 1), else_=0))


_live: Final = _how_many(_among(_a.state, LIVE))
_stored: Final = _how_many(_is(S.STORED))
_parent: Final = tables.attempts.alias("parent")
_parents_state: Final = select(_parent.c.state).where(_parent.c.attempt_id == _a.parent_attempt_id).scalar_subquery()
_hints: Final = select(func.count()).where(tables.schedule.c.attempt_id == _a.attempt_id).scalar_subquery()
_FLAGS: Final[dict[str, ColumnElement[bool]]] = {
    "without_file": and_(
        _is(S.STORED),
        or_(func.coalesce(_a.sha256, "") == "", func.coalesce(_a.path, "") == "", func.coalesce(_a.bytes, 0) == 0),
    ),
    "without_task": and_(_among(_a.state, _SCHEDULED), func.coalesce(_a.task_id, "") == ""),
    "without_url": and_(_is(S.SUCCEEDED), func.coalesce(_a.url, "") == ""),
    "sent_early": and_(_is(S.CLAIMED), _a.sending_at.is_not(None)),
    "without_parent": and_(_a.parent_attempt_id.is_not(None), func.coalesce(_parents_state, "") != S.STORED.value),
    "unscheduled": and_(_among(_a.state, _SCHEDULED), _hints == 0),
}
_before: Final = tables.attempts.alias("before")
_Scope = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""The condition that a key lies in the chunk."""


@dataclass(frozen=True, slots=True)
class VideoStatements:
    """The statements on a chunk of videos: how many attempts they have, hops with several live or stored attempts,
    attempts that break an invariant of their own row, charges, parent or schedule, and new generations without a
    decision."""

    count: Select[Any]
    live_twice: Select[Any]
    stored_twice: Select[Any]
    attempts: Select[Any]
    generations: Select[Any]


def _of_videos(scope: _Scope) -> VideoStatements:
    chosen = scope(_a.video_key)
    return VideoStatements(
        count=select(func.count()).select_from(tables.attempts).where(chosen),
        live_twice=select(_a.video_key, _a.hop, _live.label("n"))
        .where(chosen)
        .group_by(_a.video_key, _a.hop)
        .having(_live > 1),
        stored_twice=select(_a.video_key, _a.hop, _stored.label("n"))
        .where(chosen)
        .group_by(_a.video_key, _a.hop, _a.chain_digest)
        .having(_stored > 1),
        attempts=_broken_attempts(scope),
        generations=select(_a.video_key, _a.hop, _a.chain_digest, _a.generation)
        .distinct()
        .where(
            chosen,
            _a.generation > 1,
            ~exists().where(
                _before.c.video_key == _a.video_key,
                _before.c.hop == _a.hop,
                _before.c.chain_digest == _a.chain_digest,
                _before.c.generation == _a.generation - 1,
                _before.c.resubmit_allowed != false(),
            ),
        )
        .order_by(_a.video_key, _a.hop, _a.chain_digest, _a.generation),
    )


def _broken_attempts(scope: _Scope) -> Select[Any]:
    sums = (
        select(
            _c.attempt_id,
            func.sum(_c.micros).label("net"),
            func.sum(case((_c.entry == "adjust", _c.micros), else_=0)).label("adjusted"),
        )
        .where(scope(_c.video_key))
        .group_by(_c.attempt_id)
        .subquery("sums")
    )
    net = func.coalesce(sums.c.net, 0)
    expected = case(
        (or_(_among(_a.state, _RESERVED), and_(_is(S.FAILED), _a.settled_micros.is_(None))), _a.predicted_micros),
        (_among(_a.state, _FREE), 0),
        else_=func.coalesce(_a.settled_micros, 0) + func.coalesce(sums.c.adjusted, 0),
    )
    return (
        select(
            _a.attempt_id,
            _a.state,
            _a.parent_attempt_id,
            net.label("net"),
            expected.label("expected"),
            *(broken.label(name) for name, broken in _FLAGS.items()),
        )
        .select_from(tables.attempts.outerjoin(sums, sums.c.attempt_id == _a.attempt_id))
        .where(scope(_a.video_key), or_(net != expected, *_FLAGS.values()))
        .order_by(_a.video_key, _a.hop, _a.attempt_id)
    )


ALL_VIDEOS: Final = _of_videos(between)
SOME_VIDEOS: Final = _of_videos(among_keys)

CHARGED: Final = (
    select(_c.account, _c.budget_day, func.sum(_c.micros)).where(between(_c.seq)).group_by(_c.account, _c.budget_day)
)
CHANGED: Final = select(_a.video_key).distinct().where(between(_a.seq))
FLYING: Final = select(_a.account, func.count().label("n")).where(_among(_a.state, SLOT_HOLDING)).group_by(_a.account)

_of_account: Final = _a.account == bindparam("account")
NTH_TASK: Final = (
    select(_a.task_id).where(_of_account, _a.task_id > bindparam("after")).order_by(_a.task_id).limit(1).offset(SKIPPED)
)
LAST_TASK: Final = select(func.max(_a.task_id)).where(_of_account, _a.task_id > bindparam("after"))
HELD_TWICE: Final = (
    select(_a.account, _a.task_id, func.count().label("n"))
    .where(_of_account, between(_a.task_id))
    .group_by(_a.account, _a.task_id)
    .having(func.count() > 1)
)
_holder: Final = tables.attempts.alias("holder")
_holders: Final = (
    select(func.count()).where(_holder.c.account == _a.account, _holder.c.task_id == _a.task_id).scalar_subquery()
)
HELD_TWICE_BY_SOME: Final = (
    select(_a.account, _a.task_id, _holders.label("n"))
    .distinct()
    .where(among_keys(_a.video_key), _a.task_id.is_not(None), _holders > 1)
)
