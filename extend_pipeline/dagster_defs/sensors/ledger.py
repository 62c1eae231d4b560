"""ledger_sensor: reports when the ledger is not the one that the home has worked with. Nothing is submitted then, so no
run would report it."""

import hashlib

import dagster as dg

from extend_pipeline.dagster_defs.checks.ledger import LEDGER_IS_KNOWN, evaluation
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.guards.ledger_look import look


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates the asset check ledger_is_known when the ledger is not the one that the home remembers, and "
    "when it is again.",
)
def ledger_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the asset check `ledger_is_known` when its outcome changes. The cursor is a digest of the reported
    outcome; it is empty if the ledger is known."""
    if reason := home.why_not_set_up():
        return dg.SkipReason(reason)
    with home.open() as pipeline:
        ledger = look(pipeline.settings, pipeline.ledger)
        reported = "" if ledger.may_spend else hashlib.sha256(ledger.kind.value.encode()).hexdigest()
        if reported == (context.cursor or ""):
            return dg.SkipReason("the ledger is known" if ledger.may_spend else f"as reported before: {ledger.message}")
        check = evaluation(pipeline, LEDGER_IS_KNOWN)
    if not ledger.may_spend:
        context.log.warning(f"{ledger.message} → {ledger.todo}")
    return dg.SensorResult(
        skip_reason=dg.SkipReason(ledger.message or "the ledger is known"), cursor=reported, asset_events=[check]
    )
