"""Read from the ledger the rows that a warehouse lacks: only rows changed after an event number, in chunks.

On SQLite a commit waits for every reader, so each chunk is a read of its own. Rows that change between two chunks have
a higher number and are read again, until one short read finds few that are left: with that one, the rows are those of
its event.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.types import TypeEngine

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read.held import renamed
from extend_pipeline.ledger.read.json_rows import array_of
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.warehouse import schema

LEDGER_TABLES: Final = (tables.videos, tables.attempts, tables.charges, tables.reconciliations)

VALUES_A_READ: Final = 60_000  # some 15 ms on SQLite
READS_A_BATCH: Final = 8
EVENTS_AT_THE_END: Final = 1_000  # so many are read at once, with the last event's number

_SPENT: Final = ("settle", "adjust")


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in the ledger: an event's number and its fingerprint ('' before the first event)."""

    seq: int
    event: str


NOTHING: Final = Mark(0, "")


@dataclass(frozen=True, slots=True)
class Batch:
    """Changed rows of one ledger table, each a JSON array of the values of `names`; `types` are DuckDB's. `fresh` rows
    are in no file yet."""

    table: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: Sequence[str]
    fresh: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The event at which the batches before it are whole. After a first publish, also how many rows each warehouse
    table must have."""

    mark: Mark
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Diverged:
    """The ledger has no such event at that number, because it was restored from a backup or is another one. Or a video
    or account was renamed since, so that rows must be removed too."""

    after: Mark


def read_changes(ledger: Ledger, *, after: Mark) -> Iterator[Batch | Head | Diverged]:
    """Yield everything that changed after a mark, and at the end the mark that it leads to. A thread reads the next
    batch while the caller writes one."""
    changes = _changes(ledger, after)
    with ThreadPoolExecutor(max_workers=1) as thread:
        following = thread.submit(next, changes, None)
        while (change := following.result()) is not None:
            following = thread.submit(next, changes, None)
            yield change


def _changes(ledger: Ledger, after: Mark) -> Iterator[Batch | Head | Diverged]:
    upto, names_since = after.seq, after.seq
    while True:
        with ledger.read() as connection:
            newest = head(connection)
            names_since = names_since or newest.seq  # an empty warehouse has no old names
            if mark_at(connection, after.seq) != after or renamed(connection, names_since):
                yield Diverged(after)
                return
            if newest.seq - upto <= EVENTS_AT_THE_END:
                rest = [(table, _read(connection, table, upto, newest.seq)) for table in LEDGER_TABLES]
                totals = {} if after.seq else _totals(connection)
                break
        for table in LEDGER_TABLES:
            yield from _chunks(ledger, table, upto, newest.seq, fresh=not upto)
        upto = newest.seq
    yield from (_batch(table, rows, fresh=not upto) for table, rows in rest if rows)
    yield Head(newest, totals)


def _chunks(ledger: Ledger, table: Table, after: int, upto: int, *, fresh: bool) -> Iterator[Batch]:
    """Yield the rows whose last change lies between two numbers, from short reads."""
    most = max(1, VALUES_A_READ // len(_columns(table)))
    rows: list[str] = []
    for read in _reads(ledger, table, after, upto, most):
        rows += read
        if len(rows) >= READS_A_BATCH * most:
            yield _batch(table, rows, fresh=fresh)
            rows = []
    if rows:
        yield _batch(table, rows, fresh=fresh)


def _reads(ledger: Ledger, table: Table, after: int, upto: int, most: int) -> Iterator[list[str]]:
    """Yield these rows, by their number and at most so many a read."""
    while after < upto:
        between = (table.c.seq > after, table.c.seq <= upto)
        one_more = select(table.c.seq).where(*between).order_by(table.c.seq).limit(1).offset(most)
        with ledger.read() as connection:
            seq = connection.execute(one_more).scalar()
            end = upto if seq is None else seq - 1
            rows = _read(connection, table, after, end)
        yield rows
        if seq is not None and not rows:
            yield from _of_one_event(ledger, table, seq, most)
            end = seq
        after = end


def _of_one_event(ledger: Ledger, table: Table, seq: int, most: int) -> Iterator[list[str]]:
    """Yield the rows of one number, which are many after an account was renamed, at most so many at a time. On SQLite
    each time is a read of its own, because a commit waits for it; an index has the rows of a number by rowid."""
    rows = select(_row(table, ledger.dialect)).where(table.c.seq == seq)
    if ledger.dialect != "sqlite":
        with ledger.read() as connection, connection.execute(rows.execution_options(yield_per=most)) as result:
            yield from map(list, result.scalars().partitions())
        return
    rowid = column("rowid", BigInteger)
    following = rows.add_columns(rowid).where(rowid > bindparam("after")).order_by(rowid).limit(most)
    after = 0
    while True:
        with ledger.read() as connection:
            found = connection.execute(following, {"after": after}).all()
        if not found:
            return
        yield [text for text, _ in found]
        after = found[-1].rowid


def head(connection: Connection) -> Mark:
    """Return the newest event of the ledger."""
    return mark_at(connection, connection.execute(select(tables.ledger_head.c.seq)).scalar_one())


def mark_at(connection: Connection, seq: int) -> Mark:
    """Return the ledger's event with that number; its fingerprint is empty if there is none."""
    row = connection.execute(select(tables.events).where(tables.events.c.seq == seq)).first()
    if row is None:
        return Mark(seq, "")
    return Mark(seq, hashlib.sha256(json.dumps(tuple(row)).encode()).hexdigest())


@cache
def _columns(table: Table) -> dict[str, ColumnElement[Any]]:
    """Return what the warehouse needs of a ledger table, by name; of attempts also what each has cost. Every charge
    changes its attempt's number too, so that these sums follow it."""
    sources = {source for target in schema.TABLES for column in target.columns for source in column.sources}
    columns: dict[str, ColumnElement[Any]] = {
        column.name: column for column in table.c if f"{table.name}.{column.name}" in sources
    }
    if table is tables.attempts:
        c = tables.charges.c
        spent = (c.attempt_id == table.c.attempt_id, c.entry.in_(_SPENT))
        for name, amount in (("paid_micros", c.micros), ("paid_amount_micros", c.amount_micros)):
            columns[name] = select(cast(func.sum(amount), BigInteger)).where(*spent).scalar_subquery()
    return columns


def _read(connection: Connection, table: Table, after: int, upto: int) -> list[str]:
    """Return the rows that changed between two numbers."""
    changed = select(_row(table, connection.dialect.name)).where(table.c.seq > after, table.c.seq <= upto)
    return [text for (text,) in connection.execute(changed).cursor.fetchall()]


def _row(table: Table, dialect: str) -> ColumnElement[str]:
    """Return what is read of a row as one JSON text, because an object in Python for each of its values would cost
    twice as much as all else that is done with a row."""
    return array_of(_columns(table).values(), dialect)


def _batch(table: Table, rows: Sequence[str], *, fresh: bool) -> Batch:
    columns = _columns(table)
    types = tuple(_duckdb_type(column.type) for column in columns.values())
    return Batch(table.name, tuple(columns), types, rows, fresh)


def _duckdb_type(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, Text):
        return "VARCHAR"
    return "BOOLEAN" if isinstance(kind, Boolean) else "BIGINT"


def _totals(connection: Connection) -> dict[str, int]:
    def count(table: Table) -> int:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

    state = tables.attempts.c.state
    stored = select(func.count()).select_from(tables.attempts).where(state == AttemptState.STORED.value)
    files = int(connection.execute(stored).scalar_one())
    return {
        "source_videos": count(tables.videos),
        "extension_requests": count(tables.attempts),
        "charges": count(tables.charges),
        "completed_extensions": files,
        "lineage": files,
        "reconciliations": count(tables.reconciliations),
    }
