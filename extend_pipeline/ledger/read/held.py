"""Where a check of the whole ledger last held. The next one goes on from there, and reads only what changed since."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.identity import event_digest

_e: Final = tables.events.c
_RENAMED: Final = (
    select(_e.seq)
    .where(_e.seq > bindparam("after"), _e.kind.in_(("video_renamed", "account_renamed")))
    .order_by(_e.seq)  # without it PostgreSQL may read all events for the first one
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Held:
    """The event at which a check held: its number and digest. `sums` are the figures of the whole ledger up to it, by
    the check's own keys, so that the next check adds to them what came since."""

    seq: int
    event: str
    sums: Mapping[tuple[str, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a check has found: `findings` are sentences, none where it holds. `held` is where the next one may go on;
    None where this one could not compare. `rows` were compared: all, or those that changed."""

    findings: list[str]
    held: Held | None
    is_whole: bool
    rows: int


def can_go_on(connection: Connection, held: Held) -> bool:
    """Return whether the ledger has that event, and no name has changed since: a rename gives old rows new numbers."""
    return event_digest(connection, held.seq) == held.event and not renamed(connection, held.seq)


def renamed(connection: Connection, after: int) -> bool:
    """Return whether a video or an account was renamed after an event."""
    return connection.execute(_RENAMED, {"after": after}).first() is not None
