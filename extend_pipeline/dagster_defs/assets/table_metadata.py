"""Column schemas and column lineage of the published tables, computed from the warehouse's own descriptions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS, EXTENSION_REQUESTS, SOURCE_VIDEOS
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.columns import Column, TableSchema

UPSTREAM: Final = (
    (COMPLETED_EXTENSIONS, schema.COMPLETED_EXTENSIONS),
    (EXTENSION_REQUESTS, schema.EXTENSION_REQUESTS),
    (SOURCE_VIDEOS, schema.SOURCE_VIDEOS),
)
"""The partitioned assets and the tables with their rows, nearest first."""

_REQUEST_SOURCES: Final[Mapping[str, str]] = {
    "video_key": "video_key",
    "account": "account",
    "provider": "provider",
    "root_video_id": "source_video_id",
    "parent_video_id": "source_video_id",
    "parent_duration_s": "duration_s",
}
"""The columns of extension_requests that come from the catalogue's entry (those of the parent for a first hop), and the
columns of source_videos that they come from. They are listed because the ledger copies them into rows of its own."""


def schema_metadata(columns: Sequence[Column], *, key: str = "") -> dict[str, Any]:
    """Return the metadata entry of a table's columns, as Dagster shows them; `key` is the column whose values differ in
    every row."""
    unique = dg.TableColumnConstraints(nullable=False, unique=True)
    shown = [
        dg.TableColumn(c.name, c.type, description=c.description, constraints=unique if c.name == key else None)
        for c in columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=shown)}


def video_metadata(mount: Mount, asset: dg.AssetKey, table: TableSchema) -> dict[str, Any]:
    """Return the metadata of the definition of a partitioned asset: its columns in the published file, and what they
    come from. The lineage is not repeated in each partition's materialization, because it would be most of it."""
    metadata = schema_metadata(table.columns, key=table.key)
    sources: dict[str, Sequence[tuple[dg.AssetKey, str]]]
    if asset == EXTENSION_REQUESTS:
        sources = {name: [(SOURCE_VIDEOS, source)] for name, source in _REQUEST_SOURCES.items()}
    elif asset == COMPLETED_EXTENSIONS:
        sources = {
            c.name: _same_ledger_columns(EXTENSION_REQUESTS, schema.EXTENSION_REQUESTS, c) for c in table.columns
        }
    else:
        return metadata
    return {**metadata, "dagster/column_lineage": _lineage(mount, sources)}


def column_lineage(mount: Mount, columns: Sequence[Column]) -> dg.TableColumnLineage:
    """Return the upstream assets' columns that each column comes from."""
    return _lineage(mount, {column.name: _upstream_columns(column) for column in columns})


def view_lineage(mount: Mount, columns: Sequence[Column]) -> dg.TableColumnLineage:
    """Return the columns of completed_extensions that each column of a view comes from."""
    sources = {c.name: [(COMPLETED_EXTENSIONS, source.partition(".")[2]) for source in c.sources] for c in columns}
    return _lineage(mount, sources)


def _lineage(mount: Mount, sources: Mapping[str, Sequence[tuple[dg.AssetKey, str]]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(mount.asset(asset), column) for asset, column in columns]
            for name, columns in sources.items()
            if columns
        }
    )


def _upstream_columns(column: Column) -> Sequence[tuple[dg.AssetKey, str]]:
    """Return the columns of the nearest asset that come from the same ledger columns; for a charge entry, which has
    rows of its own, the column with the same name."""
    for asset, table in UPSTREAM:
        same_name = [(asset, c.name) for c in table.columns if c.name == column.name]
        if columns := _same_ledger_columns(asset, table, column) or same_name:
            return columns
    return ()


def _same_ledger_columns(asset: dg.AssetKey, table: TableSchema, column: Column) -> Sequence[tuple[dg.AssetKey, str]]:
    """Return the table's columns from the same ledger columns: the one with the same name, if there is one."""
    shared = [(asset, c.name) for c in table.columns if set(c.sources) & set(column.sources)]
    return [each for each in shared if each[1] == column.name] or shared
