"""Bulk inserts into an empty ledger, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from extend_pipeline.base.version import program_version
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are dropped and made too

AT_ONCE: Final = 50_000  # rows of one table in memory


class LedgerNotEmptyError(RuntimeError):
    """The ledger has a history of its own already."""


class Loader:
    """The one transaction that fills a ledger. Rows are lists in the order of the tables' columns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: dict[str, list[Sequence[Any]]] = {table.name: [] for table in tables.metadata.sorted_tables}

    def add(self, rows: Mapping[str, Sequence[Sequence[Any]]]) -> None:
        """Add rows by table."""
        for name, more in rows.items():
            self._waiting[name] += more
        if max(map(len, self._waiting.values())) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Insert what was added, referenced tables first."""
        for name, rows in self._waiting.items():
            if rows:
                self._insert(name, rows)
                rows.clear()

    def _insert(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        columns = tables.metadata.tables[name].columns.keys()
        if self._connection.dialect.name == "sqlite":
            places = ", ".join("?" * len(columns))
            statement = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({places})"
            self._connection.exec_driver_sql(statement, [tuple(row) for row in rows])
            return
        cursor = self._connection.connection.cursor()
        with cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


@contextmanager
def filling(ledger: Ledger) -> Iterator[Loader]:
    """Yield the loader of an empty ledger; commit at the end. Indices are built once all rows are there. Raises
    LedgerNotEmptyError."""
    with ledger.alone() as (connection, head):
        if head.seq:
            raise LedgerNotEmptyError(f"the ledger has {head.seq} events already")
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA cache_size = -200000")  # the default of 2 MB would write each page often
        indices = [index for table in tables.metadata.sorted_tables for index in table.indexes]
        for index in indices:
            index.drop(connection)
        loader = Loader(connection)
        yield loader
        loader.flush()
        for index in indices:
            index.create(connection)
        last = connection.execute(select(func.max(tables.events.c.seq))).scalar() or 0
        connection.execute(update(tables.ledger_head).values(seq=last, program=program_version()))
