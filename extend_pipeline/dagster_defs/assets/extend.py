"""Advance chosen videos as far as chosen assets need, and record it: the work of a materialization by hand, of a
backfill, and of extend_job."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import dagster as dg

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.dagster_defs.assets.materializations import (
    CHUNK,
    COMPLETED_EXTENSIONS,
    EXTENSION_REQUESTS,
    PARTITIONED,
    PartitionWriter,
)
from extend_pipeline.dagster_defs.assets.partition_state import read_facts
from extend_pipeline.dagster_defs.assets.store_batch import batch_store
from extend_pipeline.dagster_defs.checks.needs import needs_outcome, report_needs
from extend_pipeline.dagster_defs.checks.outcome import with_home
from extend_pipeline.dagster_defs.jobs.alive import over
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


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The keys of the chosen videos: those in a plan, those that the ledger knows and a mistake in the files hides
    (their paid tasks are still polled and fetched), and those that neither catalogue nor ledger has."""

    now: Plan
    hidden: Sequence[str]
    unknown: Sequence[str]

    @property
    def keys(self) -> list[str]:
        """Return the keys of the videos that are driven and recorded."""
        return [*(video.key for video in self.now.videos), *self.hidden]


def extend(
    context: dg.OpExecutionContext,
    mount: Mount,
    *,
    keys: Sequence[str],
    assets: Collection[dg.AssetKey],
    refuse: Callable[[Pipeline, Sequence[str]], None] | None = None,
) -> Iterator[dg.AssetMaterialization]:
    """Advance videos as far as `assets` (keys without a prefix) need, and yield the materializations, also where an
    error or a cancellation ends the run, which is raised after that.

    A source or a request that these assets are made from is recorded as well if Dagster does not have its present
    version, so that Dagster calls nothing missing that a run has used. `refuse` gets the keys that neither the
    catalogue nor the ledger has, before anything is sent; without it, the other videos are advanced. Raises Failure
    naming the videos that are missing at the end; finished work is kept.
    """
    home, max_seconds = mount.home_of(context), context.op_config.get("max_seconds")
    if max_seconds is None:
        max_seconds = usable_seconds("partition_timeout_s", home.partition_timeout_s)
    with home.open() as pipeline, batch_store(context) as store:
        writer = PartitionWriter(context.instance, mount, pipeline.store, store)
        chosen = _choose(pipeline, keys)
        if refuse is not None:
            refuse(pipeline, chosen.unknown)
        record_progress(pipeline, chosen.now)
        try:
            now = _advance(context, pipeline, chosen, assets, max_seconds)
        except BaseException:
            with suppress(Exception):  # the first error is the one to report; what is lacking, advance_job records
                yield from _record(writer, pipeline, chosen.keys, assets)
            raise
        done = yield from _record(writer, pipeline, chosen.keys, assets)
        needs = needs_of(now.videos, accounts=accounts_now(pipeline), doubts=doubts_now(pipeline))
        wrong, timezone, settings = mistakes(pipeline), pipeline.configuration.timezone, pipeline.settings
    report_needs(context, with_home(needs_outcome(needs, timezone), settings))
    drives = COMPLETED_EXTENSIONS in assets
    missing = [v for v in now.videos if (v.state is not VideoState.COMPLETE if drives else v.key not in done)]
    # also those whose entries were removed or spoilt meanwhile
    lost = [key for key in chosen.keys if key not in done.union(video.key for video in now.videos)]
    hidden, unknown = (lost, chosen.unknown) if wrong else ((), [*chosen.unknown, *lost])
    if missing or unknown or wrong:
        what = "not complete" if drives else "without a request"
        raise partial_end(
            what,
            missing,
            unknown,
            hidden,
            chosen=len(set(keys)),
            timezone=timezone,
            settings=settings,
            mistakes=wrong,
        )


def _choose(pipeline: Pipeline, keys: Sequence[str]) -> _Chosen:
    declare_catalogue(pipeline)
    now = plan(plan_input(pipeline, videos=keys))
    others = set(keys).difference(video.key for video in now.videos)
    hidden: set[str] = set()
    if pipeline.configuration.problems:
        with pipeline.ledger.read() as connection:
            hidden = {row.video_key for row in queries.videos(connection, keys=others)}
    return _Chosen(now, sorted(hidden), sorted(others - hidden))


def _advance(
    context: dg.OpExecutionContext,
    pipeline: Pipeline,
    chosen: _Chosen,
    assets: Collection[dg.AssetKey],
    max_seconds: float,
) -> Plan:
    """Do what the assets need, and return the plan after it."""
    if COMPLETED_EXTENSIONS in assets:
        driven = chosen.keys
        what = f"driving {counted(len(driven), 'video')} for {max_seconds:g} s at most"
        context.log.info(f"{what}: {first_names(driven)}")
        now = advance_until_idle(
            pipeline,
            videos=driven,
            max_seconds=max_seconds,
            on_round=lambda done: log_round(context.log, done, pipeline.settings),
            stop=over(context.run_id),
        )
        record_progress(pipeline, now)
        return now
    if EXTENSION_REQUESTS in assets:
        return _submit(context, pipeline, [video.key for video in chosen.now.videos])
    return chosen.now


def _record(
    writer: PartitionWriter, pipeline: Pipeline, keys: Sequence[str], assets: Collection[dg.AssetKey]
) -> Generator[dg.AssetMaterialization, None, set[str]]:
    """Record the partitions of videos of each chosen asset, and what Dagster lacks of those above; a film only if it is
    complete, because Dagster shows a partition that a failed run has recorded as a good one. Return the keys of the
    videos that have what the last of these assets is about."""
    used = PARTITIONED[: 1 + max(PARTITIONED.index(asset) for asset in assets)]
    done: set[str] = set()
    waiting = iter(keys)
    while some := list(islice(waiting, CHUNK)):
        facts = read_facts(pipeline, some)
        for asset in used:
            again = some if asset in assets else ()
            if asset == COMPLETED_EXTENSIONS:
                facts = {key: each for key, each in facts.items() if each.row.state is VideoState.COMPLETE}
                yield from writer.record(asset, facts, again=again)
                present = set(facts)
            else:
                present = set((yield from writer.record(asset, facts, again=again)))
        done |= present
    return done


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
