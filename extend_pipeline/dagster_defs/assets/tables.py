"""The published DuckDB file as three unpartitioned assets: extension_lineage, extension_costs, extension_durations."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS
from extend_pipeline.dagster_defs.assets.numbers import cost_numbers, duration_numbers, lineage_numbers
from extend_pipeline.dagster_defs.assets.table_metadata import column_lineage, schema_metadata, view_lineage
from extend_pipeline.dagster_defs.assets.versions import says_the_same, table_inputs, tables_code_version, version_tags
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.publish import publish_last
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.columns import Column
from extend_pipeline.warehouse.errors import PublishError, WarehouseError
from extend_pipeline.warehouse.publish import Busy
from extend_pipeline.warehouse.read import Meta, Table, fetch, reading_with_meta

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PREVIEW_ROWS: Final = 10

PUBLISHES_TABLES_TAG: Final = "extend_pipeline/publishes_tables"
"""The tag of runs that publish the tables at their end; their materializations request no run for the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One asset: its table or view, the relation of its preview, its columns, and the numbers of its plots. `key` is
    the column whose values differ in every row; a view has none."""

    asset: dg.AssetKey
    relation: str
    preview: str
    description: str
    columns: Sequence[Column]
    key: str = ""
    numbers: Callable[["DuckDBPyConnection"], dict[str, Any]]

    @property
    def kind(self) -> str:
        """Return whether it is a table or a view."""
        return "table" if self.key else "view"

    def column_metadata(self, mount: Mount) -> dict[str, Any]:
        """Return the metadata entries of its columns and of what they come from."""
        lineage = column_lineage if self.key else view_lineage
        return {
            **schema_metadata(self.columns, key=self.key),
            "dagster/column_lineage": lineage(mount, self.columns),
        }


_WHOLE: Final = "The DuckDB file is published whole, also where only one of its tables is materialized."
LINEAGE: Final = Published(
    asset=dg.AssetKey("extension_lineage"),
    relation="lineage",
    preview="lineage",
    description="Where every finished extension comes from: the video that it extends, the root of its chain, its "
    f"prompt, and how long the film was before and after. Table `lineage` of the published file. {_WHOLE}",
    columns=schema.LINEAGE.columns,
    key=schema.LINEAGE.key,
    numbers=lineage_numbers,
)
COSTS: Final = Published(
    asset=dg.AssetKey("extension_costs"),
    relation="charges",
    preview="cost_by_account",
    description="What every extension costs: each charge of the ledger, from its reservation to its settlement. Table "
    "`charges` of the published file; the views `cost_by_video`, `cost_by_day` and `cost_by_account` add it up. "
    f"{_WHOLE}",
    columns=schema.CHARGES.columns,
    key=schema.CHARGES.key,
    numbers=cost_numbers,
)
DURATIONS: Final = Published(
    asset=dg.AssetKey("extension_durations"),
    relation="duration_metrics",
    preview="duration_metrics",
    description="How many seconds each account has added, how long its extensions are, and how long they take to make. "
    f"View `duration_metrics` of the published file. {_WHOLE}",
    columns=schema.DURATION_METRICS,
    numbers=duration_numbers,
)
PUBLISHED: Final = (LINEAGE, COSTS, DURATIONS)


def table_condition() -> dg.AutomationCondition[Any]:
    """Return `eager()` with four differences.

    It fires while partitions are missing, because with a partition a video some always are. It compares data versions,
    so that a replay of complete videos requests no run. It leaves out the materializations of `advance_job`, which
    publishes the tables at its end. It fires when the code version has changed, because the file has another schema
    then.
    """
    condition = dg.AutomationCondition
    changed = (
        condition.data_version_changed()
        & ~condition.executed_with_root_target()
        & ~condition.all_new_updates_have_run_tags(tag_keys={PUBLISHES_TABLES_TAG})
    )
    updated: dg.AutomationCondition[Any] = condition.any_deps_match(changed | condition.will_be_requested())
    outdated = updated | condition.code_version_changed()
    return condition.eager().without(~condition.any_deps_missing()).replace("any_deps_updated", outdated)


def build_publish_tables(mount: Mount) -> dg.AssetsDefinition:
    """Return the op that publishes the tables, for a mount."""

    @dg.multi_asset(
        name=mount.name("publish_tables"),
        specs=[
            dg.AssetSpec(
                mount.asset(table.asset),
                deps=[mount.asset(COMPLETED_EXTENSIONS)],
                description=table.description,
                metadata=table.column_metadata(mount),
                automation_condition=table_condition(),
                freshness_policy=mount.freshness_policy(),
                code_version=tables_code_version(),
                kinds={"duckdb", table.kind},
                tags=mount.tags,
                owners=mount.owners,
            )
            for table in PUBLISHED
        ],
        can_subset=True,
        group_name=mount.group("tables"),
        pool=mount.name("publish_tables"),
        required_resource_keys={mount.home_key},
    )
    def publish_tables(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        """Publish the file if the ledger has changed, and yield the materializations of the chosen tables."""
        with mount.home_of(context).open() as pipeline:
            try:
                yield from _materialize(context, pipeline, mount)
            except WarehouseError as error:
                raise dg.Failure(pipeline.settings.with_home(str(error))) from None

    return publish_tables


def _materialize(
    context: dg.AssetExecutionContext, pipeline: Pipeline, mount: Mount
) -> Iterator[dg.MaterializeResult[Any]]:
    """Do the work of `publish_tables`. Raises WarehouseError."""
    if isinstance(publish_last(pipeline), Busy):
        raise dg.Failure("another process has been publishing for a minute; materialize again when it is done")
    path = pipeline.settings.warehouse_path
    with reading_with_meta(path) as (file, about):
        results: list[dg.MaterializeResult[Any]] = [
            dg.MaterializeResult(
                asset_key=mount.asset(table.asset),
                metadata=_metadata(table, path, file, about, mount),
                data_version=dg.DataVersion(data_version(about.ledger_seq, about.ledger_event)),
            )
            for table in PUBLISHED
            if mount.asset(table.asset) in context.selected_asset_keys
        ]
    yield from results


def publish_and_record(
    context: dg.OpExecutionContext, pipeline: Pipeline, mount: Mount, *, always: bool = False
) -> Generator[dg.AssetMaterialization, None, PublishError | None]:
    """Publish the file at the end of another job's run, after its partitions were recorded. Yield a materialization of
    each table, unless Dagster has the same; with `always` in any case. If the published file can't be read, the run
    only warns of it, and the next one records. Return why it could not be published, for the run to fail by once all
    else is done."""
    instance = context.instance
    inputs = table_inputs(instance, mount.asset(COMPLETED_EXTENSIONS))
    try:
        if isinstance(publish_last(pipeline), Busy):
            return None  # what publishes may have read the ledger before our last change; the next run records
    except PublishError as error:
        return error
    path = pipeline.settings.warehouse_path
    made: list[dg.AssetMaterialization] = []
    try:
        with reading_with_meta(path) as (file, about):
            tags = version_tags(data_version(about.ledger_seq, about.ledger_event), tables_code_version(), inputs)
            for table in PUBLISHED:
                asset = mount.asset(table.asset)
                event = instance.get_latest_materialization_event(asset)
                latest = None if event is None else event.asset_materialization
                if always or latest is None or not says_the_same(tags, latest.tags or {}):
                    metadata = _metadata(table, path, file, about, mount)
                    made.append(dg.AssetMaterialization(asset, metadata=metadata, tags=tags))
    except WarehouseError as error:
        context.log.warning(pipeline.settings.with_home(f"the tables are not recorded in Dagster: {error}"))
        return None
    yield from made
    return None


def data_version(ledger_seq: int, ledger_event: str) -> str:
    """Return the data version of what is made from a published file, by its last event."""
    return f"{ledger_seq}-{ledger_event[:12]}"


def _metadata(table: Published, path: Path, file: "DuckDBPyConnection", about: Meta, mount: Mount) -> dict[str, Any]:
    preview = fetch(file, f"SELECT * FROM {table.preview} LIMIT {PREVIEW_ROWS}")  # noqa: S608 - names are ours
    count = fetch(file, f"SELECT count(*) FROM {table.relation}").rows[0][0]  # noqa: S608
    return {
        **table.column_metadata(mount),
        "dagster/row_count": int(count),
        "dagster/relation_identifier": f"warehouse.{table.relation}",
        **table.numbers(file),
        "preview": dg.MetadataValue.table(records=_records(preview), schema=_schema_of(preview)),
        "file": dg.MetadataValue.path(str(path)),
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
