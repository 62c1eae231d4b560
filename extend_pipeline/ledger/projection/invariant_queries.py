"""The statements of the invariants: each selects what is broken in a chunk, through an index. A chunk lies between two
keys, or is some videos.

What belongs to a row is looked up by scalar subqueries. PostgreSQL would answer an EXISTS for a whole chunk at once, by
reading all attempts or all events for each chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

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


def _first(kind: str) -> ColumnElement[int | None]:
    return func.min(case((_e.kind == kind, _e.seq)))


_by_attempt: Final = (
    select(
        _e.attempt_id,
        func.count().label("n"),
        _first("attempt_sending").label("sent"),
        _first("attempt_submitted").label("submitted"),
    )
    .where(between(_e.seq))
    .group_by(_e.attempt_id)
    .cte("by_attempt")
)
_of_chunk: Final = _by_attempt.c
_earlier: Final = tables.events.alias("earlier")
_sent_before: Final = (
    select(func.count())
    .where(
        _earlier.c.attempt_id == _of_chunk.attempt_id,
        _earlier.c.kind == "attempt_sending",
        _earlier.c.seq + 0 < _of_chunk.submitted,  # no key: PostgreSQL would read all numbers up to this one
    )
    .scalar_subquery()
)
EVENTS: Final = union_all(
    select(literal(None, Text).label("unsent"), func.coalesce(func.sum(_of_chunk.n), 0).label("n")),
    select(_of_chunk.attempt_id, _of_chunk.n).where(
        _of_chunk.submitted.is_not(None),
        # an earlier chunk is looked into only for those that were not sent in this one
        func.coalesce(_of_chunk.sent, _of_chunk.submitted) >= _of_chunk.submitted,
        _sent_before == 0,
    ),
)
"""How many events a chunk has, in a row without `unsent`, and a row for each attempt with a task that was not sent."""


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
    "unscheduled": and_(_among(_a.state, _SCHEDULED), _hints == 0),
}
_before: Final = tables.attempts.alias("before")
_decisions: Final = (
    select(func.count())
    .where(
        _before.c.video_key == _a.video_key,
        _before.c.hop == _a.hop,
        _before.c.chain_digest == _a.chain_digest,
        _before.c.generation == _a.generation - 1,
        _before.c.resubmit_allowed != false(),
    )
    .scalar_subquery()
)
_Scope = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""The condition that a key lies in the chunk."""


@dataclass(frozen=True, slots=True)
class VideoStatements:
    """The statements on a chunk of videos: how many attempts they have, and the most that a hop has of live and stored
    ones and of generations; hops with several live or stored attempts; attempts that break an invariant of their own
    row, charges, parent or schedule; and new generations without a decision."""

    summary: Select[Any]
    live_twice: Select[Any]
    stored_twice: Select[Any]
    attempts: Select[Any]
    generations: Select[Any]


def _of_videos(scope: _Scope) -> VideoStatements:
    chosen = scope(_a.video_key)
    hops = (
        select(
            func.count().label("n"),
            _live.label("live"),
            _stored.label("stored"),
            func.max(_a.generation).label("generation"),
        )
        .where(chosen)
        .group_by(_a.video_key, _a.hop)
        .subquery("hops")
    )
    return VideoStatements(
        summary=select(
            func.coalesce(func.sum(hops.c.n), 0).label("attempts"),
            *(func.coalesce(func.max(hops.c[name]), 0).label(name) for name in ("live", "stored", "generation")),
        ),
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
            _decisions == 0,
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
    # nearly all parents are in the same chunk, and a look into all attempts for each of them costs three times the rest
    near = (
        select(_a.attempt_id, _a.state)
        .where(scope(_a.video_key))
        .cte("near")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    flags = {
        **_FLAGS,
        "without_parent": and_(
            _a.parent_attempt_id.is_not(None),
            func.coalesce(near.c.state, "") != S.STORED.value,
            func.coalesce(_parents_state, "") != S.STORED.value,
        ),
    }
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
            *(broken.label(name) for name, broken in flags.items()),
        )
        .select_from(
            tables.attempts.outerjoin(sums, sums.c.attempt_id == _a.attempt_id).outerjoin(
                near, near.c.attempt_id == _a.parent_attempt_id
            )
        )
        .where(scope(_a.video_key), or_(net != expected, *flags.values()))
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
    # NULL where the account's tasks have ended. A comparison of pairs, because PostgreSQL without statistics takes an
    # account for few rows, and would sort all that follow
    select(case((_of_account, _a.task_id)))
    .where(tuple_(_a.account, _a.task_id) > tuple_(bindparam("account"), bindparam("after")), _a.task_id.is_not(None))
    .order_by(_a.account, _a.task_id)
    .limit(1)
    .offset(SKIPPED)
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
