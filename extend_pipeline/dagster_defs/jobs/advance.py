"""advance_job: one run for all due videos. Sensors and schedules request it."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.partitioned import NO_RETRY
from extend_pipeline.dagster_defs.assets.store_batch import batch_store
from extend_pipeline.dagster_defs.assets.tables import PUBLISHES_TABLES_TAG
from extend_pipeline.dagster_defs.jobs import alive
from extend_pipeline.dagster_defs.jobs.durations import Seconds
from extend_pipeline.dagster_defs.jobs.ending import Event, publish_and_check
from extend_pipeline.dagster_defs.jobs.run_log import log_round
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.partitions import bring_in_line
from extend_pipeline.dagster_defs.recording.recorder import Recorder
from extend_pipeline.engine.drive import rounds
from extend_pipeline.engine.guards.other_home import has_videos_of_others
from extend_pipeline.engine.home import Pipeline

ADVANCE_JOB: Final = "advance_job"
ADVANCE_TAG: Final = "extend_pipeline/advance"
"""The tag of every run that advances; deploy/dagster.yaml lets one run of each value go on at a time."""

ROUND_S: Final = 0.5
"""Seconds between two rounds of a run, because a batch of events costs Dagster some 15 ms, however few they are."""

RUN_S: Final = 6 * 3600.0

PARTITIONS_S: Final = 3.0
"""Seconds a round for adding and removing partitions, because nothing is planned meanwhile."""


_CONFIG: Final = {
    "linger_s": dg.Field(
        Seconds("linger_s", zero=True),
        is_required=False,
        description="Continue while something is due within this many seconds. Empty: the setting.",
    ),
    "max_seconds": dg.Field(
        Seconds("max_seconds"),
        default_value=RUN_S,
        description="End after this many seconds, below run monitoring's limit.",
    ),
}


def build_advance_job(mount: Mount) -> dg.JobDefinition:
    """Return advance_job for a mount."""

    @dg.op(name=mount.name("advance"), config_schema=_CONFIG, tags=NO_RETRY, required_resource_keys={mount.home_key})
    def advance_everything(context: dg.OpExecutionContext) -> Iterator[Event]:
        """Run rounds of recover, poll, collect and submit, and record a materialization of each partition that changed.
        At the end, publish the tables, yield their materializations and checks, and say what waits for a person."""
        yield from _advance(context, mount)

    @dg.job(
        name=mount.name(ADVANCE_JOB),
        tags={**NO_RETRY, ADVANCE_TAG: mount.advance_tag, PUBLISHES_TABLES_TAG: "true"},
        executor_def=dg.in_process_executor,  # a run has one step, and a process of its own for it would take 7 s more
    )
    def advance_job() -> None:
        """Advance every video by its due steps."""
        advance_everything.alias("advance")()  # so that run configuration is the same in every mount

    return advance_job


def _advance(context: dg.OpExecutionContext, mount: Mount) -> Iterator[Event]:
    """Do the work of `advance_everything`."""
    max_seconds, configured_s = context.op_config["max_seconds"] or RUN_S, context.op_config.get("linger_s")
    with mount.home_of(context).open() as pipeline, batch_store(context) as store:
        linger_s = pipeline.settings.linger_s if configured_s is None else configured_s
        recorder = Recorder(context.instance, pipeline, mount, store=store)
        stop = alive.over(context.run_id)
        for now in rounds(pipeline, linger_s=linger_s, max_seconds=max_seconds, gap_s=ROUND_S, stop=stop):
            log_round(context.log, now, pipeline.settings)
            if _has_own_videos(pipeline):
                yield from recorder.pending_events()
                if recorder.done:
                    _bring_in_line(context, pipeline, mount, recorder.seq)
        if _has_own_videos(pipeline):
            yield from recorder.last_events()
            _bring_in_line(context, pipeline, mount, recorder.seq)
        yield from publish_and_check(context, pipeline, mount)


def _has_own_videos(pipeline: Pipeline) -> bool:
    """Return whether the ledger's videos are this home's; nothing of another one's is recorded under its assets."""
    with pipeline.ledger.read() as connection:
        return not has_videos_of_others(pipeline.configuration, connection, now_ms=pipeline.now_ms())


def _bring_in_line(context: dg.OpExecutionContext, pipeline: Pipeline, mount: Mount, recorded_seq: int) -> None:
    """Bring the partitions in line, once what has changed is recorded, because nothing is recorded of a video that has
    left once its partition is gone; one that has changed since keeps it for now. A film that was stored before a tick
    of catalog_sensor that came first is then in the ledger and in the tables alone."""
    until_s = time.monotonic() + PARTITIONS_S
    partitions = bring_in_line(context.instance, pipeline, mount, until_s=until_s, recorded_seq=recorded_seq)
    if partitions.changed:
        context.log.info(partitions.describe(mount))


def unfinished_runs(instance: dg.DagsterInstance, mount: Mount) -> Sequence[dg.DagsterRun]:
    """Return the runs of a mount's advance_job that are queued or in progress, and end those whose process is gone."""
    return alive.unfinished_runs(instance, mount.name(ADVANCE_JOB))
