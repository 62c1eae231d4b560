"""retention_sensor: says in time what will be gone upstream, and has paid results fetched."""

import dagster as dg

from extend_pipeline.defs.checks import NOTHING_ENDS_SOON, evaluation
from extend_pipeline.defs.jobs import ADVANCE_JOB, unfinished_runs
from extend_pipeline.defs.resources import HomeResource
from extend_pipeline.engine.plan import plan
from extend_pipeline.engine.retention import Expiring, Urgency, retention, urgent
from extend_pipeline.engine.snapshot import plan_input


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
        now_ms = pipeline.now_ms()
        ending = urgent(retention(pipeline, plan(plan_input(pipeline, unfinished=True))))
        told = cursor_of(ending)
        if told == (context.cursor or ""):
            return dg.SkipReason(f"{len(ending)} end soon, as was told before" if ending else "nothing ends soon")
        for each in ending:
            context.log.warning(each.told(now_ms))
        told_as_check = evaluation(pipeline, NOTHING_ENDS_SOON)
    to_fetch = [each for each in ending if each.what == "result" and each.urgency is not Urgency.OVER]
    asks = bool(to_fetch) and not unfinished_runs(context.instance)
    tags = {"extend_pipeline/asked_by": f"retention: {len(to_fetch)} results to fetch"}
    first = f": {ending[0].told(now_ms)}" if ending else ""
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags=tags)] if asks else [],
        # a sensor that asks for a run may give no reason why it doesn't
        skip_reason=None if asks else dg.SkipReason(f"{len(ending)} end soon{first}"),
        cursor=told,
        asset_events=[told_as_check],
    )


def cursor_of(ending: list[Expiring]) -> str:
    """What was told, short enough for a cursor: each thing with its urgency."""
    return "\n".join(sorted(f"{each.what} {each.where} {each.ends_ms} {each.urgency.value}" for each in ending))
