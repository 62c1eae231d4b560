"""The partitioned assets that an operator materialises or backfills: source_videos → extension_requests →
completed_extensions.

One op for the three, so that a backfill of any of them over adjacent videos is one run and one step. Each partition's
materialization is recorded with its own metadata and data version. Dagster's automatic ones, which would share both
among all partitions of the run, are left out (`skippable`).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.extend import extend
from extend_pipeline.dagster_defs.assets.materializations import (
    COMPLETED_EXTENSIONS,
    EXTENSION_REQUESTS,
    PARTITIONED,
    SOURCE_VIDEOS,
)
from extend_pipeline.dagster_defs.assets.table_metadata import video_metadata
from extend_pipeline.dagster_defs.assets.versions import VIDEOS_CODE_VERSION
from extend_pipeline.dagster_defs.jobs.durations import Seconds
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.columns import TableSchema

NO_RETRY: Final = {"dagster/max_retries": "0"}
"""Dagster never retries a run that may submit. Running it again is safe, but an operator should see the reason
first."""

MAX_SECONDS_FIELD: Final = dg.Field(
    Seconds("max_seconds"),
    is_required=False,
    description="Stop after this many seconds, and name the videos that are not done. Empty: the home's "
    "partition_timeout_s, 7200.",
)


def build_extend_videos(mount: Mount) -> dg.AssetsDefinition:
    """Return the op of the three partitioned assets, for a mount."""

    def spec(
        key: dg.AssetKey, deps: Sequence[dg.AssetKey], table: TableSchema, kinds: set[str], description: str
    ) -> dg.AssetSpec:
        return dg.AssetSpec(
            mount.asset(key),
            deps=[mount.asset(dep) for dep in deps],
            description=description,
            metadata=video_metadata(mount, key, table),
            skippable=True,
            code_version=VIDEOS_CODE_VERSION,
            kinds=kinds,
            tags=mount.tags,
            owners=mount.owners,
        )

    @dg.multi_asset(
        name=mount.name("extend_videos"),
        specs=[
            spec(
                SOURCE_VIDEOS,
                [],
                schema.SOURCE_VIDEOS,
                {"source", "video"},
                "The videos of the catalogue: where each comes from, how long it shall become, how far it is, and what "
                "it waits for. Materializing it costs nothing.",
            ),
            spec(
                EXTENSION_REQUESTS,
                [SOURCE_VIDEOS],
                schema.EXTENSION_REQUESTS,
                {"task"},
                "What was asked of the providers for each video: the newest request, how it ended, and what it cost. "
                "Materializing it submits the next due hop of each chosen video, and spends what budgets allow.",
            ),
            spec(
                COMPLETED_EXTENSIONS,
                [EXTENSION_REQUESTS],
                schema.COMPLETED_EXTENSIONS,
                {"file", "video"},
                "The extended films: how each looks, how long it was and is, and what it cost. Materializing it "
                "extends each chosen video hop by hop until it has its target length, and spends what budgets allow.",
            ),
        ],
        partitions_def=dg.DynamicPartitionsDefinition(name=mount.partitions_name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        config_schema={"max_seconds": MAX_SECONDS_FIELD},
        group_name=mount.group("videos"),
        op_tags=NO_RETRY,
        required_resource_keys={mount.home_key},
    )
    def extend_videos(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization]:
        """Advance the chosen partitions as far as the chosen assets need. Raises Failure naming the videos that are
        missing at the end."""
        chosen = [asset for asset in PARTITIONED if mount.asset(asset) in context.selected_asset_keys]
        yield from extend(context.op_execution_context, mount, keys=context.partition_keys, assets=chosen)

    return extend_videos
