"""doubt_sensor: reports when an attempt has been in doubt for too long. Doubts that only an operator can resolve never
trigger a run, so no run would report their age."""

import hashlib

import dagster as dg

from extend_pipeline.dagster_defs.checks.ledger import NOTHING_IN_DOUBT, evaluation
from extend_pipeline.dagster_defs.checks.provider import long_in_doubt
from extend_pipeline.dagster_defs.resources import HomeResource


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates the asset check nothing_in_doubt when an attempt has been in doubt for an hour, and when "
    "none is any more.",
)
def doubt_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the asset check `nothing_in_doubt` when its outcome changes. The cursor is a digest of the reported
    attempts; it is empty if there are none."""
    if reason := home.why_not_set_up():
        return dg.SkipReason(reason)
    with home.open() as pipeline:
        doubts = sorted(doubt.attempt_id for doubt in long_in_doubt(pipeline))
        reported = hashlib.sha256("\n".join(doubts).encode()).hexdigest() if doubts else ""
        if reported == (context.cursor or ""):
            return dg.SkipReason(
                f"{len(doubts)} in doubt for long, as reported before" if doubts else "nothing is in doubt for long"
            )
        check = evaluation(pipeline, NOTHING_IN_DOUBT)
    summary = f"{len(doubts)} in doubt for longer than an hour"
    if doubts:
        context.log.warning(check.description or summary)
    return dg.SensorResult(skip_reason=dg.SkipReason(summary), cursor=reported, asset_events=[check])
