"""The partitioned assets that an operator materialises or backfills: source_videos → extension_requests →
completed_extensions.

One op for the three, so that a backfill of any of them over adjacent videos is one run and one step. Each partition's
materialization is recorded with its own metadata and data version. Dagster's automatic ones, which would share both
among all partitions of the run, are left out (`skippable`).
"""

from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Final

import dagster as dg
from pydantic import Field

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.dagster_defs.assets.materializations import (
    COMPLETED_EXTENSIONS,
    EXTENSION_REQUESTS,
    SOURCE_VIDEOS,
    materialization,
)
from extend_pipeline.dagster_defs.assets.partition_state import read_facts
from extend_pipeline.dagster_defs.assets.store_batch import StoreBatch, batch_store
from extend_pipeline.dagster_defs.assets.table_metadata import schema_metadata
from extend_pipeline.dagster_defs.checks.needs import needs_outcome, report_needs
from extend_pipeline.dagster_defs.jobs.durations import usable_seconds
from extend_pipeline.dagster_defs.jobs.run_log import log_round, partial_end
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.advance import declare_catalogue, record_progress
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.needs import needs_of
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.status import accounts_now, doubts_now
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.columns import TableSchema

NO_RETRY: Final = {"dagster/max_retries": "0"}
"""Dagster never retries a run that may submit. Running it again is safe, but an operator should see the reason
first."""


class ExtendConfig(dg.Config):
    """The configuration of a run that an operator or a backfill starts."""

    max_seconds: float | None = Field(
        default=None, description="Stop after this many seconds. Empty: the resource's partition_timeout_s."
    )


def build_extend_videos(mount: Mount) -> dg.AssetsDefinition:
    """Return the op of the three partitioned assets, for a mount."""

    def spec(key: dg.AssetKey, deps: Sequence[dg.AssetKey], table: TableSchema, description: str) -> dg.AssetSpec:
        return dg.AssetSpec(
            mount.asset(key),
            deps=[mount.asset(dep) for dep in deps],
            description=description,
            metadata=schema_metadata(table),
            skippable=True,
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
                "A video of the catalogue: its source, its target, and its progress.",
            ),
            spec(
                EXTENSION_REQUESTS,
                [SOURCE_VIDEOS],
                schema.EXTENSION_REQUESTS,
                "Submits the next due hop of each chosen video. Spends units, within budgets.",
            ),
            spec(
                COMPLETED_EXTENSIONS,
                [EXTENSION_REQUESTS],
                schema.COMPLETED_EXTENSIONS,
                "Drives each chosen video until it has its target length. Spends units, within budgets.",
            ),
        ],
        partitions_def=dg.DynamicPartitionsDefinition(name=mount.partitions_name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        group_name=mount.group("videos"),
        op_tags=NO_RETRY,
        required_resource_keys={mount.home_key},
    )
    def extend_videos(context: dg.AssetExecutionContext, config: ExtendConfig) -> Iterator[dg.AssetMaterialization]:
        """Advance the chosen partitions as far as the chosen assets need. Raises Failure naming the videos that are
        missing at the end."""
        yield from _extend(context, config, mount)

    return extend_videos


def _extend(context: dg.AssetExecutionContext, config: ExtendConfig, mount: Mount) -> Iterator[dg.AssetMaterialization]:
    """Do the work of `extend_videos`."""
    chosen, keys = context.selected_asset_keys, context.partition_keys
    home = mount.home_of(context)
    max_seconds = usable_seconds("partition_timeout_s", home.partition_timeout_s)
    if config.max_seconds is not None:
        max_seconds = usable_seconds("max_seconds", config.max_seconds)
    with home.open() as pipeline, batch_store(context) as store:
        declare_catalogue(pipeline)
        now = plan(plan_input(pipeline, videos=keys))
        record_progress(pipeline, now)
        known = [video.key for video in now.videos]
        unknown = [key for key in keys if key not in set(known)]
        hidden = _hidden_by_mistakes(pipeline, unknown)
        missing = []
        if mount.asset(SOURCE_VIDEOS) in chosen:
            yield from _events(pipeline, mount, store, SOURCE_VIDEOS, known)
        if mount.asset(EXTENSION_REQUESTS) in chosen:
            now = _submit(context, pipeline, known)
            recorded = yield from _events(pipeline, mount, store, EXTENSION_REQUESTS, known)
            missing = [video for video in now.videos if video.key not in recorded]
        if mount.asset(COMPLETED_EXTENSIONS) in chosen:
            driven = [*known, *hidden]
            context.log.info(
                f"driving {counted(len(driven), 'video')} for {max_seconds:g} s at most: {first_names(driven)}"
            )
            now = advance_until_idle(
                pipeline, videos=driven, max_seconds=max_seconds, on_round=lambda done: log_round(context.log, done)
            )
            complete = [video.key for video in now.videos if video.state is VideoState.COMPLETE]
            yield from _events(pipeline, mount, store, COMPLETED_EXTENSIONS, complete)
            missing = [video for video in now.videos if video.state is not VideoState.COMPLETE]
        wrong, timezone = mistakes(pipeline), pipeline.configuration.timezone
        needs = needs_of(now.videos, accounts=accounts_now(pipeline), doubts=doubts_now(pipeline))
    report_needs(context.op_execution_context, needs_outcome(needs, timezone))
    if missing or unknown or wrong:
        what = "are not complete" if mount.asset(COMPLETED_EXTENSIONS) in chosen else "have no request"
        raise partial_end(what, missing, unknown, chosen=len(keys), timezone=timezone, mistakes=wrong)


def _hidden_by_mistakes(pipeline: Pipeline, keys: Collection[str]) -> list[str]:
    """Return the keys of videos that the ledger knows and that a mistake in the files hides. Their paid tasks are still
    polled and fetched."""
    if not pipeline.configuration.problems:
        return []
    with pipeline.ledger.read() as connection:
        return [row.video_key for row in queries.videos(connection, keys=keys)]


def _events(
    pipeline: Pipeline, mount: Mount, store: StoreBatch, asset: dg.AssetKey, keys: Collection[str]
) -> Generator[dg.AssetMaterialization, None, Collection[str]]:
    """Record a materialization of each partition that has one, and yield those that Dagster has to store. Return their
    keys."""
    facts = read_facts(pipeline, keys)
    events = {key: materialization(mount, asset, facts[key], pipeline.store) for key in facts}
    recorded = {key: event for key, event in events.items() if event is not None}
    yield from store(list(recorded.values()))
    return recorded.keys()


def _submit(context: dg.AssetExecutionContext, pipeline: Pipeline, keys: Sequence[str]) -> Plan:
    report = submit_due(pipeline, plan(plan_input(pipeline, videos=keys)))
    after = plan(plan_input(pipeline, videos=keys))
    record_progress(pipeline, after)
    context.log.info(
        f"submitted: {first_names(report.accepted) or 'nothing'}; "
        f"refused: {first_names(report.rejected) or 'nothing'}; "
        f"in doubt: {first_names(report.in_doubt) or 'nothing'}"
    )
    return after
