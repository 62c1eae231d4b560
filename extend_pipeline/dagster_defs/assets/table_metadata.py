"""Column schemas and column lineage of the published tables, computed from the warehouse's own descriptions."""

from collections.abc import Iterator, Mapping, Sequence
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

DURATION_SOURCES: Final[Mapping[str, Sequence[str]]] = {
    "account": ("account",),
    "provider": ("provider",),
    "extensions": ("attempt_id",),
    "measured_extensions": ("added_duration_s",),
    "added_s": ("added_duration_s",),
    "added_s_mean": ("added_duration_s",),
    "added_s_min": ("added_duration_s",),
    "added_s_max": ("added_duration_s",),
    "longest_s": ("probed_duration_s",),
    "reported_off_by_s_max": ("output_duration_s", "probed_duration_s", "output_kind"),
    "wait_s_median": ("wait_s",),
    "wait_s_p90": ("wait_s",),
    "wait_s_max": ("wait_s",),
}
"""The columns of completed_extensions that each column of the view duration_metrics is computed from. They are listed
because SQL records no lineage of an aggregate."""


def schema_metadata(table: TableSchema) -> dict[str, Any]:
    """Return the metadata entry of a warehouse table's columns, as Dagster shows them."""
    columns = [dg.TableColumn(c.name, c.type, description=c.description) for c in table.columns]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


def column_lineage(mount: Mount, table: TableSchema) -> dg.TableColumnLineage:
    """Return the upstream assets' columns that each column comes from."""
    return dg.TableColumnLineage({column.name: list(_upstream_columns(mount, column)) for column in table.columns})


def duration_lineage(mount: Mount) -> dg.TableColumnLineage:
    """Return the column lineage of the view duration_metrics."""
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(mount.asset(COMPLETED_EXTENSIONS), source) for source in sources]
            for name, sources in DURATION_SOURCES.items()
        }
    )


def _upstream_columns(mount: Mount, column: Column) -> Iterator[dg.TableColumnDep]:
    """Yield the columns of the nearest asset that come from the same ledger columns; for a charge entry, which has rows
    of its own, the column with the same name."""
    for asset, table in UPSTREAM:
        shared = [c for c in table.columns if set(c.sources) & set(column.sources)]
        named = [c for c in shared if c.name == column.name]
        same_name = [c for c in table.columns if c.name == column.name]
        if columns := named or shared or same_name:
            yield from (dg.TableColumnDep(mount.asset(asset), c.name) for c in columns)
            return
