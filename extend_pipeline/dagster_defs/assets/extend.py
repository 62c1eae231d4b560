"""Advance chosen videos as far as chosen assets need, and record it: the work of a materialization by hand, of a
backfill, and of extend_job."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from itertools import islice

import dagster as dg

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.dagster_defs.assets.materializations import (
    CHUNK,
    COMPLETED_EXTENSIONS,
    EXTENSION_REQUESTS,
    SOURCE_VIDEOS,
    data_version,
    materializations,
)
from extend_pipeline.dagster_defs.assets.partition_state import read_facts
from extend_pipeline.dagster_defs.assets.store_batch import StoreBatch, batch_store
from extend_pipeline.dagster_defs.assets.versions import data_versions
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
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.status import accounts_now, doubts_now
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState


def extend(
    context: dg.OpExecutionContext,
    mount: Mount,
    *,
    keys: Sequence[str],
    assets: Collection[dg.AssetKey],
    refuse: Callable[[Pipeline, Sequence[str]], None] | None = None,
) -> Iterator[dg.AssetMaterialization]:
    """Advance videos as far as `assets` (keys without a prefix) need, and yield the materializations.

    A source or a request that these assets are made from is recorded as well if Dagster does not have its present
    version, so that Dagster calls nothing missing that a run has used. `refuse` gets the keys that neither the
    catalogue nor the ledger has, before anything is sent; without it, the other videos are advanced. Raises Failure
    naming the videos that are missing at the end; finished work is kept.
    """
    max_seconds = context.op_config.get("max_seconds")
    home = mount.home_of(context)
    if max_seconds is None:
        max_seconds = usable_seconds("partition_timeout_s", home.partition_timeout_s)
    drives, requests = COMPLETED_EXTENSIONS in assets, EXTENSION_REQUESTS in assets
    with home.open() as pipeline, batch_store(context) as store:
        declare_catalogue(pipeline)
        now = plan(plan_input(pipeline, videos=keys))
        known = [video.key for video in now.videos]
        unknown = sorted(set(keys).difference(known))
        hidden = _hidden_by_mistakes(pipeline, unknown)
        if refuse is not None:
            refuse(pipeline, [key for key in unknown if key not in hidden])
        record_progress(pipeline, now)

        def record(asset: dg.AssetKey, of: Sequence[str]) -> Generator[dg.AssetMaterialization, None, set[str]]:
            return (yield from _events(context.instance, pipeline, mount, store, asset, of, again=asset in assets))

        missing: list[VideoPlan] = []
        if drives:
            driven = [*known, *hidden]
            context.log.info(
                f"driving {counted(len(driven), 'video')} for {max_seconds:g} s at most: {first_names(driven)}"
            )
            now = advance_until_idle(
                pipeline, videos=driven, max_seconds=max_seconds, on_round=lambda done: log_round(context.log, done)
            )
        elif requests:
            now = _submit(context, pipeline, known)
        yield from record(SOURCE_VIDEOS, known)
        if drives or requests:
            requested = yield from record(EXTENSION_REQUESTS, known)
            missing = [video for video in now.videos if video.key not in requested]
        if drives:
            missing = [video for video in now.videos if video.state is not VideoState.COMPLETE]
            yield from record(COMPLETED_EXTENSIONS, [key for key in known if key not in {v.key for v in missing}])
        wrong, timezone = mistakes(pipeline), pipeline.configuration.timezone
        needs = needs_of(now.videos, accounts=accounts_now(pipeline), doubts=doubts_now(pipeline))
    report_needs(context, needs_outcome(needs, timezone))
    if missing or unknown or wrong:
        what = "are not complete" if drives else "have no request"
        raise partial_end(what, missing, unknown, chosen=len(set(keys)), timezone=timezone, mistakes=wrong)


def _hidden_by_mistakes(pipeline: Pipeline, keys: Collection[str]) -> list[str]:
    """Return the keys of videos that the ledger knows and that a mistake in the files hides. Their paid tasks are still
    polled and fetched."""
    if not pipeline.configuration.problems:
        return []
    with pipeline.ledger.read() as connection:
        return [row.video_key for row in queries.videos(connection, keys=keys)]


def _events(
    instance: dg.DagsterInstance,
    pipeline: Pipeline,
    mount: Mount,
    store: StoreBatch,
    asset: dg.AssetKey,
    keys: Collection[str],
    *,
    again: bool,
) -> Generator[dg.AssetMaterialization, None, set[str]]:
    """Record a materialization of each partition that has one (without `again`, of those whose version Dagster lacks),
    and yield those that Dagster has to store. Return the keys of all that have one."""
    present: set[str] = set()
    waiting = iter(keys)
    while some := list(islice(waiting, CHUNK)):
        recorded = {} if again else data_versions(instance, mount.asset(asset), some)
        facts = read_facts(pipeline, some)
        versions = {key: data_version(asset, each) for key, each in facts.items()}
        present.update(key for key, version in versions.items() if version is not None)
        lacking = {key: each for key, each in facts.items() if versions[key] != recorded.get(key)}
        yield from store(list(materializations(instance, mount, asset, lacking, pipeline.store).values()))
    return present


def _submit(context: dg.OpExecutionContext, pipeline: Pipeline, keys: Sequence[str]) -> Plan:
    report = submit_due(pipeline, plan(plan_input(pipeline, videos=keys)))
    after = plan(plan_input(pipeline, videos=keys))
    record_progress(pipeline, after)
    context.log.info(
        f"submitted: {first_names(report.accepted) or 'nothing'}; "
        f"refused: {first_names(report.rejected) or 'nothing'}; "
        f"in doubt: {first_names(report.in_doubt) or 'nothing'}"
    )
    return after
