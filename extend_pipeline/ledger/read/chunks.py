"""Read a whole ledger in chunks by key, each in a read of its own: on SQLite a commit waits for every reader."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, and_, bindparam, func, select, union_all

from extend_pipeline.ledger import tables

Reads = Callable[[], AbstractContextManager[Connection]]

ATTEMPTS_A_READ: Final = 1_000  # some 20 ms on SQLite

SKIPPED: Final[BindParameter[int]] = bindparam("skipped")

_attempts: Final = tables.attempts.c
_charges: Final = tables.charges.c

_NTH_VIDEO: Final = (
    select(_attempts.video_key)
    .where(_attempts.video_key > bindparam("after"))
    .order_by(_attempts.video_key)
    .limit(1)
    .offset(SKIPPED)
)
_last: Final = union_all(
    *(
        select(func.max(columns.video_key).label("video_key")).where(columns.video_key > bindparam("after"))
        for columns in (_attempts, _charges)
    )
).subquery()
_LAST_VIDEO: Final = select(func.max(_last.c.video_key))


def between(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a key lies in the chunk."""
    return and_(column > bindparam("after"), column <= bindparam("upto"))


def videos(reads: Reads) -> Iterator[tuple[Connection, dict[str, Any]]]:
    """Yield a read and its bounds for a thousand attempts and their charges, always whole videos."""
    return chunks(reads, _NTH_VIDEO, _LAST_VIDEO, size=ATTEMPTS_A_READ)


def chunks(
    reads: Reads, nth: Select[Any], last: Select[Any], *, size: int, **params: str
) -> Iterator[tuple[Connection, dict[str, Any]]]:
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
