"""retention_sensor: says in time what will be gone upstream, and has paid results fetched."""

import hashlib
from typing import Final

import dagster as dg

from extend_pipeline.base.days import in_zone
from extend_pipeline.base.wording import counted
from extend_pipeline.dagster_defs.checks.ledger import NOTHING_ENDS_SOON, evaluation
from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB, unfinished_runs
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.fetch.retention import Expiring, Urgency, ending_now

MARK: Final = 10  # hex digits of a thing's digest: two of a thousand are the same once in a million cursors
MAX_MARKS: Final = 2_000  # a cursor of 20 kB; of more things only the soonest are told by name
MAX_REPORTED: Final = 50  # lines in a tick's log; the asset check counts them all


@dg.sensor(
    job_name=ADVANCE_JOB,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Warns of paid results past half of their keeping time and in their last hour, and of sources in their "
    "last week; asks for one run of advance_job to fetch the results.",
)
def retention_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Tell what is new since the last tick, as an evaluation of the asset check `nothing_ends_soon`. The cursor holds
    what was told, so that a result warns twice: at half of its time, and in its last hour."""
    if reason := home.lacks_accounts():
        return dg.SkipReason(reason)
    with home.open() as pipeline:
        now_ms, timezone = pipeline.now_ms(), pipeline.configuration.timezone
        ending = ending_now(pipeline)
        told = cursor_of(ending)
        before = marks_in(context.cursor)
        news = [each for each in ending[:MAX_MARKS] if _mark(each) not in before]
        if told == (context.cursor or ""):
            return dg.SkipReason(f"{len(ending)} end soon, as was told before" if ending else "nothing ends soon")
        for each in news[:MAX_REPORTED]:
            context.log.warning(in_zone(each.describe(now_ms), timezone))
        if len(news) > MAX_REPORTED:
            context.log.warning(f"… and {len(news) - MAX_REPORTED} more; extend-pipeline status has them all")
        told_as_check = evaluation(pipeline, NOTHING_ENDS_SOON)
    to_fetch = [each for each in ending if each.what != "source" and each.urgency is not Urgency.OVER]
    asks = bool(to_fetch) and not unfinished_runs(context.instance)
    tags = {"extend_pipeline/asked_by": f"retention: {counted(len(to_fetch), 'result')} to fetch"}
    first = f": {in_zone(ending[0].describe(now_ms), timezone)}" if ending else ""
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags=tags)] if asks else [],
        # a sensor that asks for a run may give no reason why it doesn't
        skip_reason=None if asks else dg.SkipReason(f"{len(ending)} end soon{first}"),
        cursor=told,
        asset_events=[told_as_check],
    )


def cursor_of(ending: list[Expiring]) -> str:
    """Return what was told, as marks of a fixed length: how many things end, and a digest of each with its urgency."""
    if not ending:
        return ""
    return f"{len(ending)}:{''.join(sorted({_mark(each) for each in ending[:MAX_MARKS]}))}"


def marks_in(cursor: str | None) -> frozenset[str]:
    """Return the marks that a cursor holds."""
    marks = (cursor or "").partition(":")[2]
    return frozenset(marks[at : at + MARK] for at in range(0, len(marks), MARK))


def _mark(each: Expiring) -> str:
    thing = f"{each.what} {each.where} {each.ends_ms} {each.urgency.value}"
    return hashlib.sha256(thing.encode("utf-8", "surrogatepass")).hexdigest()[:MARK]
