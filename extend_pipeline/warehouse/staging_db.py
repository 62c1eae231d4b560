"""The private staging file: created, updated from the ledger by transactions, and never read by another program."""

# ruff: noqa: S608 - every name in these statements comes from the schema, every value goes by array or parameter

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.base.version import program_version
from extend_pipeline.warehouse import definitions, schema
from extend_pipeline.warehouse.columns import TableSchema
from extend_pipeline.warehouse.errors import WarehouseError
from extend_pipeline.warehouse.ledger_changes import NOTHING, Batch, Diverged, Head, Mark
from extend_pipeline.warehouse.rollups import ROLLUPS, ROW_COUNTS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY: Final = "600MB"
"""What DuckDB may use for a publish; what needs more goes to files beside the staging file."""

FILLED_BY: Final[dict[str, tuple[TableSchema, ...]]] = {
    "videos": (schema.SOURCE_VIDEOS,),
    "attempts": (schema.EXTENSION_REQUESTS, schema.COMPLETED_EXTENSIONS),
    "charges": (schema.CHARGES,),
    "reconciliations": (schema.RECONCILIATIONS,),
}
"""The tables that a batch of a ledger's table fills. The others are computed from these, once all batches are there."""

COMPUTED: Final = (schema.LINEAGE, *ROLLUPS)

(_DAY,) = (column.sql for column in schema.CHARGES.columns if column.name == "budget_day")

_FIRST_DEPTHS: Final = """
    CREATE OR REPLACE TEMP TABLE depths AS
    SELECT changed.attempt_id, 1 + coalesce(known.depth, 0) AS depth, 1 AS level
    FROM changed_attempts AS changed
    LEFT JOIN lineage AS known ON known.attempt_id = changed.parent_attempt_id
    WHERE changed.parent_attempt_id IS NULL
        OR changed.parent_attempt_id NOT IN (SELECT attempt_id FROM changed_attempts)
"""
_NEXT_DEPTHS: Final = """
    INSERT INTO depths
    SELECT changed.attempt_id, depths.depth + 1, depths.level + 1
    FROM depths
    JOIN changed_attempts AS changed ON changed.parent_attempt_id = depths.attempt_id
    WHERE depths.level = ?
"""

_CHANGED: Final = {
    "changed_attempts": "attempt_id VARCHAR, parent_attempt_id VARCHAR",
    "changed_videos": "video_key VARCHAR",
    "changed_days": "budget_day DATE",
}
_AGAIN: Final = "DELETE FROM changed_attempts WHERE attempt_id IN (SELECT attempt_id FROM staged)"

_CHANGED_BY: Final = {
    "attempts": (
        "INSERT INTO changed_attempts SELECT attempt_id, parent_attempt_id FROM staged",
        "INSERT INTO changed_videos SELECT DISTINCT video_key FROM staged",
    ),
    "charges": (
        "INSERT INTO changed_videos SELECT DISTINCT video_key FROM staged",
        f"INSERT INTO changed_days SELECT DISTINCT {_DAY} FROM staged AS charges",
    ),
}


class InvalidStagingFile(WarehouseError):
    """The staging file is invalid and must be rebuilt from the ledger."""


def remove(work: Path) -> None:
    """Remove a staging file and DuckDB's log beside it."""
    for path in (work, work.with_name(work.name + ".wal")):
        path.unlink(missing_ok=True)


@contextmanager
def opened(work: Path) -> Iterator[DuckDBPyConnection]:
    """Yield a connection that writes to the staging file, creating an empty warehouse if there is none. Raises
    InvalidStagingFile, duckdb.Error."""
    import duckdb

    connection = duckdb.connect(":memory:")
    before = os.umask(0o077)  # DuckDB creates the file, and later its log, by the umask
    try:
        path = str(work).replace("'", "''")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET temp_directory = '{path}.tmp'")
        fresh = not work.exists()
        connection.execute(f"ATTACH '{path}' AS warehouse (STORAGE_VERSION '{schema.STORAGE_VERSION}')")
        work.chmod(0o600)
        connection.execute("USE warehouse")
        if fresh:
            _create(connection)
        yield connection
    finally:
        connection.close()
        os.umask(before)


def _create(connection: DuckDBPyConnection) -> None:
    connection.execute("BEGIN")
    for statement in definitions.statements():
        connection.execute(statement)
    _set_mark(connection, NOTHING, now_ms=0)
    connection.execute("COMMIT")


def mark(connection: DuckDBPyConnection) -> Mark:
    """Return the mark of the open file. Raises InvalidStagingFile if it has another schema or storage version, or is
    incomplete."""
    import duckdb

    try:
        row = _only(connection, "SELECT ledger_seq, ledger_event, schema_version FROM _meta")
    except duckdb.CatalogException as error:
        raise InvalidStagingFile(f"the staging file has no _meta: {error}") from error
    if row[2] != definitions.schema_version():
        raise InvalidStagingFile("the staging file was made for another schema")
    storage_version(connection)
    return Mark(row[0], row[1])


def storage_version(connection: DuckDBPyConnection) -> str:
    """Return the storage version that DuckDB finds in the file, like `v1.2.0+`. Raises InvalidStagingFile if it is not
    ours."""
    sql = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'warehouse'"
    (version,) = _only(connection, sql)
    # DuckDB names a range: v1.2.0+ is readable by 1.2 and every later version
    if version not in (schema.STORAGE_VERSION, f"{schema.STORAGE_VERSION}+"):
        raise InvalidStagingFile(f"the file has storage version {version}, not {schema.STORAGE_VERSION}")
    return str(version)


def apply(
    connection: DuckDBPyConnection, changes: Iterable[Batch | Head | Diverged], *, now_ms: int
) -> tuple[Mark, dict[str, int]]:
    """Apply the changes to the file, in one transaction. Return the mark that the file then has, and how many rows were
    written, by table.

    Raises InvalidStagingFile if the file has lost rows, is of another ledger, or has other sizes than the ledger's.
    """
    before = mark(connection)
    _compare_counts(connection, dict(connection.execute(f"FROM {ROW_COUNTS}").fetchall()), "were written")
    written = dict.fromkeys((table.name for table in schema.TABLES), 0)
    for name, columns in _CHANGED.items():
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({columns})")
    connection.execute("BEGIN")
    for change in changes:
        match change:
            case Diverged(after):
                raise InvalidStagingFile(
                    f"the ledger's event {after.seq} is not the one that was published: it was restored or replaced"
                )
            case Batch():
                for name, rows in _take(connection, change).items():
                    written[name] += rows
            case Head(reached, totals):
                if reached == before and reached.seq:
                    connection.execute("ROLLBACK")
                    return reached, {}
                _compute_depths(connection)
                for table in COMPUTED:
                    rows = _fill(connection, table)
                    if table is schema.LINEAGE:
                        written[table.name] += rows
                _compare_counts(connection, totals, "in the ledger")
    _set_row_counts(connection)
    _set_mark(connection, reached, now_ms=now_ms)
    failpoint("publish.before_commit")
    connection.execute("COMMIT")
    return reached, written


def _take(connection: DuckDBPyConnection, batch: Batch) -> dict[str, int]:
    """Replace the rows of one batch in the tables that it fills, and note of which attempts, videos and days they are.
    Return how many rows were written, by table."""
    values = ", ".join(
        f'CAST(row_values[{place}] AS {type_}) AS "{name}"'
        for place, (name, type_) in enumerate(zip(batch.names, batch.types, strict=True), start=1)
    )
    rows = "SELECT from_json(unnest(?::VARCHAR[]), '[\"VARCHAR\"]') AS row_values"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {values} FROM ({rows})", [batch.rows])
    if not batch.fresh:
        for table in FILLED_BY[batch.table]:
            connection.execute(_replacing(table)[0])
        if batch.table == "attempts":
            connection.execute(_AGAIN)
    written = {}
    for table in FILLED_BY[batch.table]:
        ((written[table.name],),) = connection.execute(_replacing(table)[1]).fetchall()
    for changed in _CHANGED_BY.get(batch.table, ()):
        connection.execute(changed)
    return written


def _compute_depths(connection: DuckDBPyConnection) -> None:
    """Fill the table of how many extensions lie between a changed attempt and its root, from the parents down: a
    recursive query keeps every level in memory."""
    connection.execute(_FIRST_DEPTHS)
    for level in itertools.count(1):
        ((inserted,),) = connection.execute(_NEXT_DEPTHS, [level]).fetchall()
        if not inserted:
            return


def _fill(connection: DuckDBPyConnection, table: TableSchema) -> int:
    """Compute the changed rows of one table anew. Return how many were written."""
    delete, insert = _replacing(table)
    connection.execute(delete)
    (inserted,) = _only(connection, insert)
    return int(inserted)


def _replacing(table: TableSchema) -> tuple[str, str]:
    """Return the statements that delete the changed rows of one table, and insert them as they are now."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    values = ", ".join(column.sql for column in table.columns)
    return (
        f"DELETE FROM {table.name} WHERE {table.changed}",
        f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {table.rows}",
    )


def _compare_counts(connection: DuckDBPyConnection, counts: Mapping[str, int], where: str) -> None:
    for name, expected in counts.items():
        (counted,) = _only(connection, f"SELECT count(*) FROM {name}")
        if counted != expected:
            raise InvalidStagingFile(f"{name} has {counted} rows in the staging file, {expected} {where}")


def _set_row_counts(connection: DuckDBPyConnection) -> None:
    connection.execute(f"DELETE FROM {ROW_COUNTS}")
    for table in (*schema.TABLES, *ROLLUPS):
        connection.execute(f"INSERT INTO {ROW_COUNTS} SELECT '{table.name}', count(*) FROM {table.name}")


def read_all(connection: DuckDBPyConnection) -> None:
    """Read every value of every table, so that DuckDB's checksums show damage. Raises duckdb.Error."""
    for name in (*(table.name for table in (*schema.TABLES, *ROLLUPS)), "_meta"):
        connection.execute(f"SELECT bit_xor(hash(t)) FROM {name} AS t").fetchall()


def _only(connection: DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    # fetchall, not fetchone, because DuckDB 2 blocks the connection until a result was read to its end
    rows = connection.execute(sql).fetchall()
    if len(rows) != 1:
        raise InvalidStagingFile(f"{len(rows)} rows instead of one: {sql}")
    return tuple(rows[0])


def _set_mark(connection: DuckDBPyConnection, at: Mark, *, now_ms: int) -> None:
    import duckdb

    published = datetime.fromtimestamp(now_ms // 1000, tz=UTC).replace(microsecond=now_ms % 1000 * 1000)
    connection.execute("DELETE FROM _meta")
    connection.execute(
        "INSERT INTO _meta VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            at.seq,
            at.event,
            published,
            definitions.schema_version(),
            schema.STORAGE_VERSION,
            program_version(),
            duckdb.__version__,
        ],
    )
