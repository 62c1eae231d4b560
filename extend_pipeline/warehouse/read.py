"""Reads the published file: short connections, read-only, that can reach nothing else on the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extend_pipeline.warehouse import definitions, schema
from extend_pipeline.warehouse.errors import NotPublishedError, QueryError, WarehouseError

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection, DuckDBPyRelation


@dataclass(frozen=True, slots=True)
class Table:
    """A query's answer: names, DuckDB types, and rows of Python values (Decimals, aware datetimes in UTC)."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Meta:
    """How fresh a published file is, and what wrote it."""

    ledger_seq: int
    ledger_event: str
    published_at: datetime
    schema_version: str
    storage_version: str
    package_version: str
    duckdb_version: str


@contextmanager
def reading(target: Path) -> Iterator[DuckDBPyConnection]:
    """Open the file read-only and close it in any case. What is read comes from one file, even if it is replaced
    meanwhile. Raises NotPublishedError, or WarehouseError where the file is none."""
    import duckdb

    if not target.exists():
        raise NotPublishedError(target)
    # attached to a connection of its own: duckdb.connect(path) hands out what this process has open under that path,
    # which after a publish is the file before, and refuses another configuration than that one's
    connection = duckdb.connect(":memory:")
    try:
        path = str(target).replace("'", "''")
        try:
            connection.execute(f"ATTACH '{path}' AS warehouse (READ_ONLY)")
        except duckdb.Error as error:
            raise WarehouseError(
                f"{target} can't be read: {error}. Remove it and run extend-pipeline publish."
            ) from error
        connection.execute("USE warehouse")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = ''")  # no spilling beside whatever folder the caller stands in
        connection.execute("SET python_enable_replacements = false")  # a query names tables, not Python's variables
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def query(target: Path, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Table:
    """Run SQL on the published file. It can neither change it nor read or write any other file.

    Raises NotPublishedError; QueryError with DuckDB's words.
    """
    with reading(target) as connection, query_errors():
        cursor = connection.execute(sql, params) if params else connection.execute(sql)
        described = cursor.description or []
        rows = cursor.fetchall() if described else []
    columns = tuple(str(column[0]) for column in described)
    return Table(columns, tuple(str(column[1]) for column in described), [tuple(map(_utc, row)) for row in rows])


def results(target: Path, sql: str) -> Iterator[DuckDBPyRelation]:
    """Run statement after statement on the published file, as `query` does, and yield what each has to show, to be read
    before the next is asked for. Reading within `query_errors` tells of an error as of one here.

    Raises NotPublishedError; QueryError with DuckDB's words.
    """
    import duckdb

    with reading(target) as connection, query_errors():
        for statement in connection.extract_statements(sql):
            shows_nothing = list(statement.expected_result_type) == [duckdb.ExpectedResultType.NOTHING]
            relation = connection.sql(statement)
            if relation is not None and not shows_nothing:
                yield relation


@contextmanager
def query_errors() -> Iterator[None]:
    """Raise QueryError with DuckDB's words where the block raises an error of DuckDB."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error)) from None


def rows_of(relation: DuckDBPyRelation) -> Table:
    """Return all rows of a result. Raises duckdb.Error."""
    described = relation.description
    rows = [tuple(map(_utc, row)) for row in relation.fetchall()]
    return Table(tuple(str(column[0]) for column in described), tuple(str(column[1]) for column in described), rows)


def kept(relation: DuckDBPyRelation, *, most: int) -> DuckDBPyRelation:
    """Return the first rows of a result, held in memory where DuckDB can (2.0). Raises duckdb.Error."""
    first = relation.limit(most)
    materialize: Callable[[], DuckDBPyRelation] | None = getattr(first, "materialize", None)
    return first if materialize is None else materialize()


def table_frame(target: Path, name: str) -> pd.DataFrame:
    """A whole table or view as a frame. Decimals stay `Decimal` in object columns: pandas would make floats of money.

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
        frame = connection.execute(f"SELECT * {f'REPLACE ({exact})' if exact else ''} FROM {name}").df()  # noqa: S608 - names come from the schema and the file itself
    for column in decimals:
        values = [Decimal(value) if isinstance(value, str) else None for value in frame[column].tolist()]
        frame[column] = pd.Series(values, index=frame.index, dtype=object)
    return frame


def meta(target: Path) -> Meta | None:
    """How fresh the published file is; None where nothing has been published yet."""
    if not target.exists():
        return None
    names = ", ".join(name for name, _, _ in schema.META_COLUMNS)
    answer = query(target, f"SELECT {names} FROM _meta")  # noqa: S608 - names come from the schema
    return Meta(*answer.rows[0]) if answer.rows else None


def _utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value
