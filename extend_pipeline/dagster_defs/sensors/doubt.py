"""doubt_sensor: says when something has been in doubt for too long. A doubt that only a person can clear up asks for no
run, so that no run would tell of its age."""

import hashlib

import dagster as dg

from extend_pipeline.dagster_defs.checks.ledger import NOTHING_IN_DOUBT, evaluation
from extend_pipeline.dagster_defs.checks.provider import long_in_doubt
from extend_pipeline.dagster_defs.resources import HomeResource


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the asset check nothing_in_doubt as soon as something has been in doubt for an hour, and when "
    "that is over.",
)
def doubt_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the asset check `nothing_in_doubt` where what it would find is news. The cursor holds a digest of what
    was told; it is empty where nothing was found."""
    if reason := home.lacks_accounts():
        return dg.SkipReason(reason)
    with home.open() as pipeline:
        found = sorted(doubt.attempt_id for doubt in long_in_doubt(pipeline))
        told = hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""
        if told == (context.cursor or ""):
            return dg.SkipReason(f"{len(found)} in doubt for long, as was told before" if found else "nothing is")
        check = evaluation(pipeline, NOTHING_IN_DOUBT)
    news = f"{len(found)} in doubt for longer than an hour"
    if found:
        context.log.warning(check.description or news)
    return dg.SensorResult(skip_reason=dg.SkipReason(news), cursor=told, asset_events=[check])
