"""ledger_sensor: says when the ledger is not the one that the home has worked with. Nothing is submitted then, so
that no run would tell of it."""

import hashlib

import dagster as dg

from extend_pipeline.dagster_defs.checks.ledger import LEDGER_IS_KNOWN, evaluation
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.guards.ledger_look import look


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the asset check ledger_is_known as soon as the ledger is another one than the home remembers, "
    "and when that is over.",
)
def ledger_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the asset check `ledger_is_known` where what it would find is news. The cursor holds a digest of what
    was told; it is empty where the ledger is known."""
    if reason := home.lacks_accounts():
        return dg.SkipReason(reason)
    with home.open() as pipeline:
        found = look(pipeline.settings, pipeline.ledger)
        told = "" if found.may_spend else hashlib.sha256(found.kind.value.encode()).hexdigest()
        if told == (context.cursor or ""):
            return dg.SkipReason("the ledger is known" if found.may_spend else f"as was told before: {found.message}")
        check = evaluation(pipeline, LEDGER_IS_KNOWN)
    if not found.may_spend:
        context.log.warning(f"{found.message} → {found.todo}")
    return dg.SensorResult(
        skip_reason=dg.SkipReason(found.message or "the ledger is known"), cursor=told, asset_events=[check]
    )
