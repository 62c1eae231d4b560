"""Reads of the keys of all videos, for the partitions that stand for them."""

import json
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import LIVE, WITHDRAWN_WITH_MANY, AttemptState, VideoState

_VIDEOS, _ATTEMPTS, _EVENTS = tables.videos.c, tables.attempts.c, tables.events.c
_KEYS: Final = select(_VIDEOS.video_key, _VIDEOS.first_key, _VIDEOS.state).order_by(_VIDEOS.video_key)
_WITHDRAWN_IN_FLIGHT: Final = (
    select(_ATTEMPTS.video_key, _ATTEMPTS.hop, _ATTEMPTS.state)
    .join(tables.videos, _VIDEOS.video_key == _ATTEMPTS.video_key)
    .where(
        _ATTEMPTS.state.in_([state.value for state in LIVE]),
        # keeps the database from this index, by which it would read every video that was ever withdrawn
        func.coalesce(_VIDEOS.state, "") == VideoState.WITHDRAWN.value,
    )
    .order_by(_ATTEMPTS.video_key, _ATTEMPTS.hop)
)
_WITHDRAWN_WITH_MANY: Final = (
    select(_VIDEOS.video_key, _VIDEOS.account, _VIDEOS.seq)
    .where(text(f"state_reason = '{WITHDRAWN_WITH_MANY}'"))  # literally as in the index
    .order_by(_VIDEOS.video_key)
)
_RENAMES: Final = select(_EVENTS.data).where(_EVENTS.seq > bindparam("after"), _EVENTS.kind == "video_renamed")


class DeclaredKey(NamedTuple):
    """A video by its key of today. `first_key` is None if that is the same."""

    video_key: str
    first_key: str | None
    is_withdrawn: bool


class InFlight(NamedTuple):
    """A live attempt of a video."""

    video_key: str
    hop: int
    state: AttemptState


class WithdrawnVideo(NamedTuple):
    """A video that left the catalogue with many others, by the event `seq`."""

    video_key: str
    account: str
    seq: int


def declared_keys(connection: Connection) -> list[DeclaredKey]:
    """Return every video that was ever declared, in the order of the keys."""
    rows = connection.execute(_KEYS)
    return [DeclaredKey(key, first, state == VideoState.WITHDRAWN.value) for key, first, state in rows]


def withdrawn_in_flight(connection: Connection) -> tuple[InFlight, ...]:
    """Return the live attempts of withdrawn videos. Costs what is in flight, not what was ever withdrawn."""
    rows = connection.execute(_WITHDRAWN_IN_FLIGHT)
    return tuple(InFlight(key, hop, AttemptState(state)) for key, hop, state in rows)


def withdrawn_with_many(connection: Connection) -> tuple[WithdrawnVideo, ...]:
    """Return the unfinished videos that left the catalogue with many others at once, in the order of the keys; none
    that is back or of which an operator has said that it was meant to leave."""
    return tuple(WithdrawnVideo._make(row) for row in connection.execute(_WITHDRAWN_WITH_MANY))


def earlier_keys(connection: Connection, *, after_seq: int) -> frozenset[str]:
    """Return the keys from which videos were renamed after an event number."""
    texts = connection.execute(_RENAMES, {"after": after_seq}).scalars()
    return frozenset(json.loads(text)["was"] for text in texts)
