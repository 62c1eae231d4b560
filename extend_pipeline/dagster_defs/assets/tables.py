"""The published DuckDB file as three unpartitioned assets: extension_lineage, extension_costs, extension_durations."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS
from extend_pipeline.dagster_defs.assets.table_metadata import column_lineage, duration_lineage, schema_metadata
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.publish import publish_last
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.read import Meta, Table, meta, query

PREVIEW_ROWS: Final = 10

PUBLISHES_TABLES_TAG: Final = "extend_pipeline/publishes_tables"
"""The tag of runs that publish the tables at their end; their materializations request no run for the tables."""


@dataclass(frozen=True, slots=True)
class Published:
    """One asset: its table or view, and the relation of its preview."""

    asset: dg.AssetKey
    relation: str
    preview: str
    description: str
    schema: Mapping[str, Any]
    lineage: Callable[[Mount], dg.TableColumnLineage]


LINEAGE: Final = Published(
    dg.AssetKey("extension_lineage"),
    "lineage",
    "lineage",
    "The parent of every stored extension, up to the root of its chain. Table `lineage` of the published file.",
    schema_metadata(schema.LINEAGE),
    partial(column_lineage, table=schema.LINEAGE),
)
COSTS: Final = Published(
    dg.AssetKey("extension_costs"),
    "charges",
    "cost_by_account",
    "Every charge entry of the ledger, from reservation to settlement. Table `charges`, and the views cost_by_… on it.",
    schema_metadata(schema.CHARGES),
    partial(column_lineage, table=schema.CHARGES),
)
DURATIONS: Final = Published(
    dg.AssetKey("extension_durations"),
    "duration_metrics",
    "duration_metrics",
    "Seconds added by each account, how long extensions are and how long they take. View `duration_metrics`.",
    {},
    duration_lineage,
)
PUBLISHED: Final = (LINEAGE, COSTS, DURATIONS)


def table_condition() -> dg.AutomationCondition[Any]:
    """Return `eager()` with three differences.

    It fires while partitions are missing, because with a partition a video some always are. It compares data versions,
    so that a replay of complete videos requests no run. It leaves out the materializations of `advance_job`, which
    publishes the tables at its end.
    """
    condition = dg.AutomationCondition
    changed = (
        condition.data_version_changed()
        & ~condition.executed_with_root_target()
        & ~condition.all_new_updates_have_run_tags(tag_keys={PUBLISHES_TABLES_TAG})
    )
    updated: dg.AutomationCondition[Any] = condition.any_deps_match(changed | condition.will_be_requested())
    return condition.eager().without(~condition.any_deps_missing()).replace("any_deps_updated", updated)


def build_publish_tables(mount: Mount) -> dg.AssetsDefinition:
    """Return the op that publishes the tables, for a mount."""

    @dg.multi_asset(
        name=mount.name("publish_tables"),
        specs=[
            dg.AssetSpec(
                mount.asset(table.asset),
                deps=[mount.asset(COMPLETED_EXTENSIONS)],
                description=table.description,
                metadata=table.schema,
                automation_condition=table_condition(),
                kinds={"duckdb"},
                tags=mount.tags,
                owners=mount.owners,
            )
            for table in PUBLISHED
        ],
        group_name=mount.group("tables"),
        pool=mount.name("publish_tables"),
        required_resource_keys={mount.home_key},
    )
    def publish_tables(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        """Publish the file if the ledger has changed, and yield its materializations."""
        with mount.home_of(context).open() as pipeline:
            publish_last(pipeline)
            for asset, metadata, version in published(pipeline, mount):
                yield dg.MaterializeResult(asset_key=asset, metadata=metadata, data_version=dg.DataVersion(version))

    return publish_tables


def published(pipeline: Pipeline, mount: Mount) -> Iterator[tuple[dg.AssetKey, dict[str, Any], str]]:
    """Yield key, metadata and data version (the ledger's event) of each asset of the published file."""
    target = pipeline.settings.warehouse_path
    about = meta(target)
    if about is None:
        return
    for table in PUBLISHED:
        yield (
            mount.asset(table.asset),
            _metadata(table, pipeline, about, mount),
            f"{about.ledger_seq}-{about.ledger_event[:12]}",
        )


def _metadata(table: Published, pipeline: Pipeline, about: Meta, mount: Mount) -> dict[str, Any]:
    target = pipeline.settings.warehouse_path
    preview = query(target, f"SELECT * FROM {table.preview} LIMIT {PREVIEW_ROWS}")  # noqa: S608 - names are ours
    count = query(target, f"SELECT count(*) FROM {table.relation}").rows[0][0]  # noqa: S608
    return {
        # a view without a description of its own is its own preview
        **(table.schema or {"dagster/column_schema": _schema_of(preview)}),
        "dagster/column_lineage": table.lineage(mount),
        "dagster/row_count": int(count),
        "dagster/relation_identifier": f"warehouse.{table.relation}",
        "preview": dg.MetadataValue.table(records=_records(preview), schema=_schema_of(preview)),
        "file": dg.MetadataValue.path(str(target)),
        "ledger_seq": about.ledger_seq,
        "published_at": dg.MetadataValue.timestamp(about.published_at),
    }


def _schema_of(table: Table) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(name, kind) for name, kind in zip(table.columns, table.types, strict=True)]
    )


def _records(table: Table) -> list[dg.TableRecord]:
    """Return rows as Dagster stores them. Decimals and times are text, because floats of money would be inexact."""
    return [dg.TableRecord({n: _cell(v) for n, v in zip(table.columns, row, strict=True)}) for row in table.rows]


def _cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
