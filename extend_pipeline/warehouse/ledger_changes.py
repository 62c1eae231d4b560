"""Read from the ledger the rows that a warehouse lacks: one read transaction, only rows changed after an event
number."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Boolean, Connection, Row, Select, Table, Text, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.warehouse import schema

LEDGER_TABLES: Final = (tables.videos, tables.attempts, tables.charges, tables.reconciliations)


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in the ledger: an event's number and its fingerprint ('' before the first event)."""

    seq: int
    event: str


NOTHING: Final = Mark(0, "")


@dataclass(frozen=True, slots=True)
class Batch:
    """The changed rows of one ledger table, by columns; `types` are DuckDB's."""

    table: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
    size: int


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes between `after` and `head`, and how many rows each warehouse table has at `head`."""

    after: Mark
    head: Mark
    batches: tuple[Batch, ...]
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Diverged:
    """The ledger has no such event at that number, because it was restored from a backup or is another one. Or a video
    or account was renamed since, so that rows must be removed too."""

    after: Mark


def read_changes(ledger: Ledger, *, after: Mark) -> Changes | Diverged:
    """Read everything that changed after a mark, in one read transaction that ends before anything is written."""
    with ledger.read() as connection:
        newest = head(connection)
        if mark_at(connection, after.seq) != after or _renamed(connection, after):
            return Diverged(after)
        raw = [(table, connection.execute(_changed(table, after.seq)).fetchall()) for table in LEDGER_TABLES]
        totals = _totals(connection)
    return Changes(after, newest, tuple(_batch(table, rows) for table, rows in raw), totals)


def _renamed(connection: Connection, after: Mark) -> bool:
    """Return whether a video or an account was renamed after a mark. An empty warehouse has no old names."""
    table = tables.events
    renames = table.c.kind.in_(("video_renamed", "account_renamed"))
    query = select(table.c.seq).where(table.c.seq > after.seq, renames).limit(1)
    return after != NOTHING and connection.execute(query).first() is not None


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


def _changed(table: Table, seq: int) -> Select[Any]:
    columns = [table.c[name] for name in _needed(table)]
    query = select(*columns).where(table.c.seq > seq)
    if table is not tables.attempts:
        return query
    # because a new charge on an old attempt changes the cost of its extension
    booked = select(tables.charges.c.attempt_id).where(tables.charges.c.seq > seq)
    late = select(*columns).where(table.c.attempt_id.in_(booked), table.c.seq <= seq)
    either = query.union_all(late).subquery()
    return select(*either.c)


def _batch(table: Table, rows: Sequence[Row[Any]]) -> Batch:
    names = tuple(_needed(table))
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else ((),) * len(names)
    loaded = dict(zip(names, columns, strict=True))
    types = {name: _duckdb_type(table, name) for name in names}
    if table is tables.attempts:
        loaded["prompt"] = [prompt_of(params) for params in loaded["params"]]
        types["prompt"] = "VARCHAR"
    return Batch(table.name, tuple(loaded), tuple(types[name] for name in loaded), tuple(loaded.values()), len(rows))


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
