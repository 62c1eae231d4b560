"""Read the published file: short, read-only connections without access to anything else on the machine."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.warehouse import definitions, schema
from extend_pipeline.warehouse.errors import NotPublishedError, OpenElsewhereError, QueryError, WarehouseError

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_HOLDER: Final = re.compile(r"held in (.+?) \(PID (\d+)\)")
"""Where DuckDB's message names the process that has a file open for writing."""


@dataclass(frozen=True, slots=True)
class Table:
    """A query's result: names, DuckDB types, and rows of Python values. Decimals are Decimals, times are aware
    datetimes in the requested zone (UTC by default)."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Meta:
    """How fresh a published file is, and the versions that wrote it."""

    ledger_seq: int
    ledger_event: str
    published_at: datetime
    schema_version: str
    storage_version: str
    package_version: str
    duckdb_version: str


@contextmanager
def reading(target: Path, *, timezone: str = UTC_ZONE) -> Iterator[DuckDBPyConnection]:
    """Yield a read-only connection to the file. All reads see one file, even if it is replaced meanwhile. Raises
    NotPublishedError, OpenElsewhereError, or WarehouseError if it is no warehouse."""
    if not target.exists():
        raise NotPublishedError(target)
    import duckdb

    # attached, because duckdb.connect(path) returns the database that this process has open under that path, which
    # after a publish is the old file, and refuses another configuration than that one's
    with closing(duckdb.connect(":memory:")) as connection:
        path = str(target).replace("'", "''")
        try:
            connection.execute(f"ATTACH '{path}' AS warehouse (READ_ONLY)")
        except duckdb.Error as error:
            raise _unreadable(target, str(error)) from error
        connection.execute("USE warehouse")
        connection.execute("SET TimeZone = 'UTC'")
        if timezone != UTC_ZONE:
            zones = "SELECT name FROM pg_timezone_names() WHERE name = ?"
            for (name,) in connection.execute(
                zones, [timezone]
            ).fetchall():  # a zone that DuckDB doesn't list leaves UTC
                connection.execute(f"SET TimeZone = '{name}'")
        connection.execute("SET temp_directory = ''")  # no spilling into the current folder
        connection.execute("SET python_enable_replacements = false")  # a query names tables, not Python's variables
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


@contextmanager
def reading_with_meta(target: Path) -> Iterator[tuple[DuckDBPyConnection, Meta]]:
    """Yield a connection as `reading` does, and how fresh the file is that it reads. Raises the same, and
    NotPublishedError also for a file that doesn't say so."""
    with reading(target) as connection:
        names = ", ".join(name for name, _, _ in schema.META_COLUMNS)
        rows = fetch(connection, f"SELECT {names} FROM _meta").rows  # noqa: S608 - names come from the schema
        if not rows:
            raise NotPublishedError(target)
        yield connection, Meta(*rows[0])


def _unreadable(target: Path, message: str) -> WarehouseError:
    """Return the error for a file that DuckDB could not open, by DuckDB's message."""
    if "Unique file handle conflict" in message:
        return OpenElsewhereError(target, "this process")
    if "Could not set lock" not in message:
        return WarehouseError(f"{target} can't be read: {message}. Remove it and run extend-pipeline publish.")
    holder = _HOLDER.search(message)
    return OpenElsewhereError(target, f"{holder[1]} (process {holder[2]})" if holder else "another program")


def query(
    target: Path, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None, *, timezone: str = UTC_ZONE
) -> Table:
    """Return the result of SQL on the published file, which can neither change it nor access any other file. Days in
    the query and times in the result are in `timezone` (an IANA name).

    Raises NotPublishedError; QueryError with DuckDB's message.
    """
    with reading(target, timezone=timezone) as connection:
        return fetch(connection, sql, params, timezone=timezone)


def fetch(
    connection: DuckDBPyConnection,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    timezone: str = UTC_ZONE,
) -> Table:
    """Return the result of SQL as `query` does, on a connection of `reading`, whose further queries see the same file.
    Raises QueryError with DuckDB's message."""
    with query_errors():
        cursor = connection.execute(sql, params) if params else connection.execute(sql)
        described = cursor.description or []
        return _table(described, cursor.fetchall() if described else [], timezone)


def results(target: Path, sql: str, *, timezone: str = UTC_ZONE) -> Iterator[DuckDBPyRelation]:
    """Run the statements on the published file one by one, as `query` does, and yield each result, to be read before
    the next one. Read it within `query_errors` to get the same errors.

    Raises NotPublishedError; QueryError with DuckDB's message.
    """
    import duckdb

    with reading(target, timezone=timezone) as connection, query_errors():
        for statement in connection.extract_statements(sql):
            shows_nothing = list(statement.expected_result_type) == [duckdb.ExpectedResultType.NOTHING]
            relation = connection.sql(statement)
            if relation is not None and not shows_nothing:
                yield relation


@contextmanager
def query_errors() -> Iterator[None]:
    """Raise QueryError if the block raises an error of DuckDB, or reads a time that Python has no datetime for."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    except OverflowError:
        message = "a time in the result lies outside the years 1 to 9999 in the home's time zone; CAST it to VARCHAR"
        raise QueryError(message) from None


def rows_of(relation: DuckDBPyRelation, timezone: str) -> Table:
    """Return all rows of a result, times in a time zone. Raises duckdb.Error."""
    return _table(relation.description, relation.fetchall(), timezone)


def _table(described: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]], timezone: str) -> Table:
    return Table(
        tuple(str(column[0]) for column in described),
        tuple(str(column[1]) for column in described),
        [tuple(_placed(value, timezone) for value in row) for row in rows],
    )


def kept(relation: DuckDBPyRelation, *, most: int) -> DuckDBPyRelation:
    """Return the first rows of a result, held in memory if DuckDB can (2.0). Raises duckdb.Error."""
    first = relation.limit(most)
    materialize: Callable[[], DuckDBPyRelation] | None = getattr(first, "materialize", None)
    return first if materialize is None else materialize()


def table_frame(target: Path, name: str) -> pd.DataFrame:
    """Return a whole table or view as a frame. Decimals stay `Decimal` in object columns, because pandas would turn
    money into floats.

    Raises NotPublishedError; QueryError for a name that is no table or view.
    """
    import pandas as pd

    known = sorted([table.name for table in schema.TABLES] + list(definitions.views()) + ["_meta"])
    if name not in known:
        raise QueryError(f"the warehouse has no table {name!r}; it has {', '.join(known)}")
    with reading(target) as connection:
        described = connection.execute(f"DESCRIBE {name}").fetchall()
        decimals = [row[0] for row in described if str(row[1]).startswith("DECIMAL")]
        exact = ", ".join(f'CAST("{column}" AS VARCHAR) AS "{column}"' for column in decimals)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The inplace keyword")  # from DuckDB's own call of pandas
            frame = connection.execute(f"SELECT * {f'REPLACE ({exact})' if exact else ''} FROM {name}").df()  # noqa: S608 - names come from the schema and the file itself
    for column in decimals:
        values = [Decimal(value) if isinstance(value, str) else None for value in frame[column].tolist()]
        frame[column] = pd.Series(values, index=frame.index, dtype=object)
    return frame


def meta(target: Path) -> Meta | None:
    """Return how fresh the published file is; None if there is none."""
    try:
        with reading_with_meta(target) as (_, about):
            return about
    except NotPublishedError:
        return None


def _placed(value: Any, timezone: str) -> Any:
    if not isinstance(value, datetime) or value.tzinfo is None:
        return value
    return value.astimezone(UTC if timezone == UTC_ZONE else ZoneInfo(timezone))
