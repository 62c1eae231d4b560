"""advance_job: one run for everything due, however many videos. Sensors and schedules ask for it."""

from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg
from dagster import DagsterRunStatus
from pydantic import Field

from extend_pipeline.dagster_defs.assets.materializations import DATA_VERSION_TAG, Recorder, version_tags
from extend_pipeline.dagster_defs.assets.partitioned import NO_RETRY
from extend_pipeline.dagster_defs.assets.tables import TELLS_ITSELF_TAG, published
from extend_pipeline.dagster_defs.checks.ledger import evaluations
from extend_pipeline.dagster_defs.jobs.durations import usable_seconds
from extend_pipeline.dagster_defs.jobs.run_log import tell_round, why
from extend_pipeline.dagster_defs.partitions import add_missing
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.drive import rounds
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.publish import publish_last
from extend_pipeline.ledger.read import queries

ADVANCE_JOB: Final = "advance_job"
ADVANCE_TAG: Final = "extend_pipeline/advance"
"""On every run that advances; deploy/dagster.yaml lets one of them run at a time."""

UNFINISHED_RUN: Final = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[None]


class AdvanceConfig(dg.Config):
    """Of one run of advance_job."""

    linger_s: float | None = Field(
        default=None, description="Go on while something is due within so many seconds. Empty: the setting."
    )
    max_seconds: float = Field(
        default=6 * 3600,
        description="End after so long, below run monitoring's limit.",
    )


@dg.op(name="advance", tags=NO_RETRY)
def advance_everything(context: dg.OpExecutionContext, config: AdvanceConfig, home: HomeResource) -> Iterator[Event]:
    """Rounds of recover, poll, collect and submit; after each, one materialization a partition that changed. At the
    end the tables are published, and told with their checks."""
    max_seconds = usable_seconds("max_seconds", config.max_seconds)
    asked_s = None if config.linger_s is None else usable_seconds("linger_s", config.linger_s, zero=True)
    with home.open() as pipeline:
        linger_s = pipeline.settings.linger_s if asked_s is None else asked_s
        recorder = Recorder(context.instance, pipeline)
        for now in rounds(pipeline, linger_s=linger_s, max_seconds=max_seconds):
            tell_round(context.log, now)
            yield from _news(context, pipeline, recorder)
            last = now
        while not recorder.done:
            yield from recorder.news()
        publish_last(pipeline)
        yield from _tables(context.instance, pipeline)
        yield from evaluations(pipeline)
        timezone = pipeline.configuration.timezone
    for video in last.plan.needs_person:
        context.log.warning(f"{video.key} waits for a person: {why(video, timezone)}")
    yield dg.Output(None)


@dg.job(name=ADVANCE_JOB, tags={**NO_RETRY, ADVANCE_TAG: "all", TELLS_ITSELF_TAG: "true"})
def advance_job() -> None:
    """Bring every video on by what is due now."""
    advance_everything()


def unfinished_runs(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    """Runs of advance_job that are queued or under way."""
    return instance.get_runs(dg.RunsFilter(job_name=ADVANCE_JOB, statuses=list(UNFINISHED_RUN)))


def _news(context: dg.OpExecutionContext, pipeline: Pipeline, recorder: Recorder) -> Iterator[Event]:
    with pipeline.ledger.read() as connection:
        keys = [row.video_key for row in queries.videos(connection)]
    add_missing(context.instance, keys)  # the catalogue may have grown since the sensor's last tick
    yield from recorder.news()


def _tables(instance: dg.DagsterInstance, pipeline: Pipeline) -> Iterator[Event]:
    """Tell of the published file, unless Dagster knows of this very one."""
    for asset, metadata, version in published(pipeline):
        event = instance.get_latest_materialization_event(asset)
        known = None if event is None or event.asset_materialization is None else event.asset_materialization.tags
        if known is None or known.get(DATA_VERSION_TAG) != version:
            yield dg.AssetMaterialization(asset, metadata=metadata, tags=version_tags(version))
