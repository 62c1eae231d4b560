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
from itertools import chain
from typing import Any, Final

from sqlalchemy import Boolean, Connection, Select, Table, Text, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.warehouse import schema

LEDGER_TABLES: Final = (tables.videos, tables.attempts, tables.charges, tables.reconciliations)

VALUES_A_READ: Final = 60_000  # some 15 ms on SQLite
READS_A_BATCH: Final = 4
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
    """Changed rows of one ledger table, by columns; `types` are DuckDB's. `fresh` rows are in no file yet."""

    table: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
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
                rest = [_read(connection, table, upto, newest.seq) for table in LEDGER_TABLES]
                totals = {} if after.seq else _totals(connection)
                break
        for table in LEDGER_TABLES:
            yield from _chunks(ledger, table, upto, newest.seq, fresh=not upto)
        upto = newest.seq
    yield from (_batch([read], fresh=not upto) for read in rest if read.rows)
    yield Head(newest, totals)


def _chunks(ledger: Ledger, table: Table, after: int, upto: int, *, fresh: bool) -> Iterator[Batch]:
    """Yield the rows whose last change lies between two numbers, from short reads."""
    rows = max(1, VALUES_A_READ // len(_needed(table)))
    reads: list[_Rows] = []
    while after < upto:
        between = (table.c.seq > after, table.c.seq <= upto)
        nth = select(table.c.seq).where(*between).order_by(table.c.seq).limit(1).offset(rows - 1)
        with ledger.read() as connection:
            after, begin = connection.execute(nth).scalar() or upto, after
            reads.append(_read(connection, table, begin, after))
        if reads[0].rows and (after == upto or len(reads) == READS_A_BATCH):
            yield _batch(reads, fresh=fresh)
            reads = []


def renamed(connection: Connection, since: int) -> bool:
    """Return whether a video or an account was renamed after a number."""
    table = tables.events
    renames = table.c.kind.in_(("video_renamed", "account_renamed"))
    query = select(table.c.seq).where(table.c.seq > since, renames).limit(1)
    return connection.execute(query).first() is not None


def prompt_of(params: str) -> str | None:
    """Return the prompt in an extension's parameters. Lone surrogates, which a UTF-8 file can't hold, become question
    marks."""
    value = json.loads(params).get("prompt")
    return None if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def head(connection: Connection) -> Mark:
    """Return the newest event of the ledger."""
    return mark_at(connection, connection.execute(select(tables.ledger_head.c.seq)).scalar_one())


def mark_at(connection: Connection, seq: int) -> Mark:
    """Return the ledger's event with that number; its fingerprint is empty if there is none."""
    row = connection.execute(select(tables.events).where(tables.events.c.seq == seq)).first()
    if row is None:
        return Mark(seq, "")
    return Mark(seq, hashlib.sha256(json.dumps(tuple(row)).encode()).hexdigest())


def _needed(table: Table) -> list[str]:
    sources = {source for target in schema.TABLES for column in target.columns for source in column.sources}
    return [column.name for column in table.c if f"{table.name}.{column.name}" in sources]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What one read found in one table between two numbers, as the database returned it."""

    table: Table
    rows: Sequence[Sequence[Any]]
    paid: Sequence[tuple[str, int, int]]


def _read(connection: Connection, table: Table, after: int, upto: int) -> _Rows:
    """Return the changed rows; for attempts also what each has cost. Every charge changes its attempt's number too, so
    that these sums follow it."""
    changed = (table.c.seq > after) & (table.c.seq <= upto)
    rows = _fetch(connection, select(*(table.c[name] for name in _needed(table))).where(changed))
    if table is not tables.attempts or not rows:
        return _Rows(table, rows, ())
    c = tables.charges.c
    sums = select(c.attempt_id, func.sum(c.micros), func.sum(c.amount_micros)).where(c.entry.in_(_SPENT))
    of_changed = c.attempt_id.in_(select(table.c.attempt_id).where(changed))
    return _Rows(table, rows, _fetch(connection, sums.where(of_changed).group_by(c.attempt_id)))


def _fetch(connection: Connection, query: Select[Any]) -> list[Any]:
    """Return the rows as the driver makes them: SQLAlchemy's rows would cost a fifth of a publish."""
    return list(connection.execute(query).cursor.fetchall())


def _batch(reads: Sequence[_Rows], *, fresh: bool) -> Batch:
    table, names = reads[0].table, _needed(reads[0].table)
    rows = chain.from_iterable(read.rows for read in reads)
    loaded: dict[str, Sequence[Any]] = dict(zip(names, zip(*rows, strict=True), strict=True))
    types = {name: _duckdb_type(table, name) for name in names}
    if table is tables.attempts:
        loaded["prompt"] = [prompt_of(params) for params in loaded["params"]]
        types["prompt"] = "VARCHAR"
        units = {attempt: int(micros) for read in reads for attempt, micros, _ in read.paid}
        amounts = {attempt: int(micros) for read in reads for attempt, _, micros in read.paid}
        for name, sums in (("paid_micros", units), ("paid_amount_micros", amounts)):
            loaded[name] = [sums.get(attempt) for attempt in loaded["attempt_id"]]
            types[name] = "BIGINT"
    return Batch(table.name, tuple(loaded), tuple(types[name] for name in loaded), tuple(loaded.values()), fresh)


def _duckdb_type(table: Table, name: str) -> str:
    kind = table.c[name].type
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
