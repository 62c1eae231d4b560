"""Read a whole ledger, or what changed in it, in chunks, each in a read of its own: on SQLite a commit waits for every
reader."""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, and_, bindparam, func, select

from extend_pipeline.ledger import tables

Reads = Callable[[], AbstractContextManager[Connection]]
Chunks = Iterator[tuple[Connection, dict[str, Any]]]
"""Reads, and the parameters of the statements that each of them is for."""

ATTEMPTS_A_READ: Final = 1_000  # some 20 ms on SQLite
VIDEOS_A_READ: Final = 100
EVENTS_A_READ: Final = 5_000

SKIPPED: Final[BindParameter[int]] = bindparam("skipped")

_key: Final = tables.attempts.c.video_key
_NTH_VIDEO: Final = select(_key).where(_key > bindparam("after")).order_by(_key).limit(1).offset(SKIPPED)
_LAST_VIDEO: Final = select(func.max(_key)).where(_key > bindparam("after"))


def between(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a key lies in the chunk."""
    return and_(column > bindparam("after"), column <= bindparam("upto"))


def among_keys(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a key is one of the chunk's."""
    return column.in_(bindparam("keys", expanding=True))


def videos(reads: Reads) -> Chunks:
    """Yield a read and its bounds for a thousand attempts, always whole videos."""
    return chunks(reads, _NTH_VIDEO, _LAST_VIDEO, size=ATTEMPTS_A_READ)


def named_videos(reads: Reads, keys: Collection[str]) -> Chunks:
    """Yield a read and its keys for every hundred of these videos."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), VIDEOS_A_READ):
        with reads() as connection:
            yield connection, {"keys": ordered[start : start + VIDEOS_A_READ]}


def events(reads: Reads, after: int, upto: int) -> Chunks:
    """Yield a read and its bounds for every 5,000 event numbers."""
    for start in range(after, upto, EVENTS_A_READ):
        with reads() as connection:
            yield connection, {"after": start, "upto": min(start + EVENTS_A_READ, upto)}


def chunks(reads: Reads, nth: Select[Any], last: Select[Any], *, size: int, **params: str) -> Chunks:
    """Yield a read and its bounds for every `size` rows by key, and all rows of the key that the chunk ends with.

    `nth` selects the key of the nth row after `after`, `last` the last key of all.
    """
    after = ""
    while True:
        with reads() as connection:
            bounds = {**params, "after": after, "skipped": size - 1}
            upto = connection.execute(nth, bounds).scalar()
            if upto is None:
                upto = connection.execute(last, bounds).scalar()
            if upto is None:
                return
            yield connection, {**params, "after": after, "upto": upto}
        after = upto
