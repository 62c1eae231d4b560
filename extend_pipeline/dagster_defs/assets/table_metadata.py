"""Column schemas and column lineage of the published tables, made once from the warehouse's own descriptions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS, EXTENSION_REQUESTS, SOURCE_VIDEOS
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.columns import Column, TableSchema

UPSTREAM: Final = (
    (COMPLETED_EXTENSIONS, schema.COMPLETED_EXTENSIONS),
    (EXTENSION_REQUESTS, schema.EXTENSION_REQUESTS),
    (SOURCE_VIDEOS, schema.SOURCE_VIDEOS),
)
"""The partitioned assets and the tables that hold their rows, nearest first."""

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
"""What each column of the view duration_metrics is made of, in completed_extensions: it is an aggregate, and SQL keeps
no record of that."""


def column_schema(table: TableSchema) -> dg.TableSchema:
    """Return a warehouse table's columns as Dagster shows them."""
    return dg.TableSchema(columns=[dg.TableColumn(c.name, c.type, description=c.description) for c in table.columns])


def schema_metadata(table: TableSchema) -> dict[str, Any]:
    """Return the metadata entry of a table's columns."""
    return {"dagster/column_schema": column_schema(table)}


def column_lineage(table: TableSchema) -> dg.TableColumnLineage:
    """Return which columns of the assets above each column comes from."""
    return dg.TableColumnLineage({column.name: list(_above(column)) for column in table.columns})


def duration_lineage() -> dg.TableColumnLineage:
    """Return the same for the view duration_metrics."""
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(COMPLETED_EXTENSIONS, source) for source in sources]
            for name, sources in DURATION_SOURCES.items()
        }
    )


def _above(column: Column) -> Iterator[dg.TableColumnDep]:
    """Yield the columns of the nearest asset that are made of the same ledger columns; for an entry of the books, which
    has rows of its own, the column of the same name."""
    for asset, table in UPSTREAM:
        shared = [c for c in table.columns if set(c.sources) & set(column.sources)]
        named = [c for c in shared if c.name == column.name]
        same_name = [c for c in table.columns if c.name == column.name]
        found = named or shared or same_name
        if found:
            yield from (dg.TableColumnDep(asset, c.name) for c in found)
            return
