"""Sensors that evaluate an asset check when its outcome changes, because no run would: a doubt that only an operator
can resolve triggers none, and nothing is submitted while the ledger is not the one that the home has worked with."""

import hashlib

import dagster as dg

from extend_pipeline.dagster_defs.checks.ledger import LEDGER_IS_KNOWN, NOTHING_IN_DOUBT, evaluation
from extend_pipeline.dagster_defs.checks.outcome import as_text
from extend_pipeline.dagster_defs.checks.provider import long_in_doubt
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.dagster_defs.sensors.build import NOTHING, build_sensor
from extend_pipeline.engine.guards.ledger_look import look


def build_doubt_sensor(mount: Mount) -> dg.SensorDefinition:
    """Return doubt_sensor for a mount."""
    return build_sensor(
        mount,
        "doubt_sensor",
        _doubt_tick,
        interval_s=60,
        description="Evaluates the asset check nothing_in_doubt when an attempt was in doubt for an hour, and when "
        "none is any more.",
    )


def build_ledger_sensor(mount: Mount) -> dg.SensorDefinition:
    """Return ledger_sensor for a mount."""
    return build_sensor(
        mount,
        "ledger_sensor",
        _ledger_tick,
        interval_s=60,
        description="Evaluates the asset check ledger_is_known when the ledger is not the one that the home remembers, "
        "and when it is again.",
    )


def _doubt_tick(
    context: dg.SensorEvaluationContext, home: HomeResource, mount: Mount
) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the asset check `nothing_in_doubt` when its outcome changes. The cursor is a digest of the reported
    attempts, or NOTHING."""
    with home.open() as pipeline:
        doubts = sorted(doubt.attempt.attempt_id for doubt in long_in_doubt(pipeline))
        reported = _digest("\n".join(doubts))
        if reported == (context.cursor or NOTHING):
            return dg.SkipReason(
                f"{len(doubts)} in doubt for long, as reported before" if doubts else "nothing is in doubt for long"
            )
        check = evaluation(pipeline, mount, NOTHING_IN_DOUBT)
    summary = f"{len(doubts)} in doubt for longer than an hour"
    if doubts:
        context.log.warning(as_text(check.description or summary))
    return dg.SensorResult(skip_reason=dg.SkipReason(summary), cursor=reported, asset_events=[check])


def _ledger_tick(
    context: dg.SensorEvaluationContext, home: HomeResource, mount: Mount
) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the asset check `ledger_is_known` when its outcome changes. The cursor is a digest of the reported
    outcome, or NOTHING if the ledger is known."""
    with home.open() as pipeline:
        ledger = look(pipeline.settings, pipeline.ledger)
        reported = _digest("" if ledger.may_spend else ledger.kind.value)
        if reported == (context.cursor or NOTHING):
            return dg.SkipReason("the ledger is known" if ledger.may_spend else f"as reported before: {ledger.message}")
        check = evaluation(pipeline, mount, LEDGER_IS_KNOWN)
    if not ledger.may_spend:
        context.log.warning(ledger.describe())
    return dg.SensorResult(
        skip_reason=dg.SkipReason(ledger.message or "the ledger is known"), cursor=reported, asset_events=[check]
    )


def _digest(reported: str) -> str:
    return hashlib.sha256(reported.encode()).hexdigest() if reported else NOTHING
