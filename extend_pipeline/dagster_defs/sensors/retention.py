"""retention_sensor: warns before results and sources expire, and requests a run that fetches paid results."""

import time
from typing import Final

import dagster as dg

from extend_pipeline.alerts.marks import MAX_MARKS, join_marks, mark_of, split_marks
from extend_pipeline.base.days import in_zone
from extend_pipeline.base.wording import counted
from extend_pipeline.dagster_defs.checks.ledger import NOTHING_ENDS_SOON, evaluation
from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB, unfinished_runs
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.dagster_defs.sensors.build import NOTHING, build_sensor
from extend_pipeline.dagster_defs.sensors.one_request import ASKED_BY_TAG, may_request
from extend_pipeline.engine.fetch.retention import Expiring, Urgency, ending_now

MAX_REPORTED: Final = 50  # lines in a tick's log; the asset check counts them all


def build_retention_sensor(mount: Mount) -> dg.SensorDefinition:
    """Return retention_sensor for a mount."""
    return build_sensor(
        mount,
        "retention_sensor",
        _retention_tick,
        interval_s=60,
        requests_runs=True,
        description="Warns of paid results past half of their keeping time and in their last hour, and of sources in "
        f"their last week; requests one run of {mount.name(ADVANCE_JOB)} to fetch the results.",
    )


def _retention_tick(
    context: dg.SensorEvaluationContext, home: HomeResource, mount: Mount
) -> dg.SensorResult | dg.SkipReason:
    """Report the changes since the last tick, as an evaluation of the asset check `nothing_ends_soon`.
    The cursor holds the reported items with their urgency, so that a result is warned of twice: at
    half of its time, and in its last hour."""
    with home.open() as pipeline:
        now_ms, timezone = pipeline.now_ms(), pipeline.configuration.timezone
        ending = ending_now(pipeline)
        cursor = cursor_of(ending)
        if cursor == (context.cursor or NOTHING):
            return dg.SkipReason(f"{len(ending)} end soon, as reported before" if ending else "nothing ends soon")
        reported = marks_in(context.cursor)
        new = [item for item in ending[:MAX_MARKS] if _mark(item) not in reported]
        for item in new[:MAX_REPORTED]:
            context.log.warning(in_zone(item.describe(now_ms), timezone))
        if len(new) > MAX_REPORTED:
            more = f"… and {len(new) - MAX_REPORTED} more; extend-pipeline status lists them all"
            context.log.warning(pipeline.settings.with_home(more))
        check = evaluation(pipeline, mount, NOTHING_ENDS_SOON)
    to_fetch = [item for item in ending if item.what != "source" and item.urgency is not Urgency.OVER]
    requests_run = (
        bool(to_fetch)
        and not unfinished_runs(context.instance, mount)
        and may_request(context.instance, mount, "retention", now_s=time.time())
    )
    tags = {ASKED_BY_TAG: f"retention: {counted(len(to_fetch), 'result')} to fetch"}
    first = f": {in_zone(ending[0].describe(now_ms), timezone)}" if ending else ""
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags=tags)] if requests_run else [],
        # because Dagster allows no skip reason beside a run request
        skip_reason=None if requests_run else dg.SkipReason(f"{len(ending)} end soon{first}"),
        cursor=cursor,
        asset_events=[check],
    )


def cursor_of(ending: list[Expiring]) -> str:
    """Return the reported items as marks of a fixed length: how many items end, and a digest of each with its urgency;
    NOTHING if none does. Of more than MAX_MARKS items only the soonest are named."""
    if not ending:
        return NOTHING
    return f"{len(ending)}:{join_marks({_mark(item) for item in ending[:MAX_MARKS]})}"


def marks_in(cursor: str | None) -> frozenset[str]:
    """Return the marks that a cursor holds."""
    return split_marks((cursor or "").partition(":")[2])


def _mark(item: Expiring) -> str:
    return mark_of(f"{item.what} {item.where} {item.ends_ms} {item.urgency.value}")
