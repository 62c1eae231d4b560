"""Asset checks on the providers' side: attempts in doubt, expiring results and sources, and their statements."""

from decimal import Decimal
from typing import Any

import dagster as dg

from extend_pipeline.base.days import in_zone
from extend_pipeline.base.units import from_micros, from_ms
from extend_pipeline.dagster_defs.checks.outcome import MAX_ROWS, outcome
from extend_pipeline.engine.fetch.retention import Urgency, ending_now
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.needs import DOUBT_S
from extend_pipeline.engine.reconcile.last_reads import statements_now
from extend_pipeline.engine.status import Doubt, disagreements_now, doubts_now


def long_in_doubt(pipeline: Pipeline) -> list[Doubt]:
    """Return the attempts that have been in doubt for longer than an hour."""
    return [doubt for doubt in doubts_now(pipeline) if doubt.age_s > DOUBT_S]


def nothing_in_doubt(pipeline: Pipeline) -> dg.AssetCheckResult:
    """No attempt is in doubt for longer than an hour: its units stay reserved, and its video does not continue."""
    doubts = doubts_now(pipeline)
    findings = [
        f"{doubt.attempt.where}: for {doubt.age_s / 3600:.1f} h, {doubt.exposure} {doubt.attempt.unit} exposed; "
        f"{doubt.attempt.error_message or ''}"
        for doubt in doubts
        if doubt.age_s > DOUBT_S
    ]
    exposure: dict[tuple[str, str], Decimal] = {}  # by account, because two resellers' credits differ
    for doubt in doubts:
        key = doubt.attempt.account, doubt.attempt.unit
        exposure[key] = exposure.get(key, Decimal(0)) + doubt.exposure
    metadata: dict[str, Any] = {"in_doubt": len(doubts)}
    metadata |= {f"at_stake_{account}_{unit}": f"{units:f}" for (account, unit), units in exposure.items()}
    if doubts:
        timezone = pipeline.configuration.timezone
        metadata["requests"] = dg.MetadataValue.table([_doubt_record(doubt, timezone) for doubt in doubts[:MAX_ROWS]])
    return outcome(findings, "extend-pipeline resolve VIDEO/HOP adopt TASK | resubmit | write-off", more=metadata)


def nothing_ends_soon(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Every paid result is fetched before half of its keeping time is over, and every source is extended long before
    its end."""
    now_ms = pipeline.now_ms()
    expiring = ending_now(pipeline)
    urgent = any(item.what != "source" and item.urgency is not Urgency.SOON for item in expiring)
    severity = dg.AssetCheckSeverity.ERROR if urgent else dg.AssetCheckSeverity.WARN
    todo = "extend-pipeline advance; extend-pipeline status shows why a file can't be fetched"
    return outcome([item.describe(now_ms) for item in expiring], todo, severity)


def books_agree(pipeline: Pipeline) -> dg.AssetCheckResult:
    """The ledger and the providers' lists, bills and invoices agree, as they were last compared; and each list and bill
    that is queried was read in the last three days."""
    findings = [
        f"{row.account}, {row.source}, task {row.task_id}: {row.verdict.replace('_', ' ')}"
        f" (ledger {_units(row.ledger_micros)}, provider {_units(row.upstream_micros)} {row.unit}); {row.note}"
        for row in disagreements_now(pipeline)
    ]
    now_ms, statements = pipeline.now_ms(), statements_now(pipeline)
    findings += [statement.unavailable_text for statement in statements if statement.is_long_unavailable(now_ms)]
    metadata = {
        f"others_{statement.account}_{statement.source}": statement.others
        for statement in statements
        if statement.others
    }
    todo = "extend-pipeline reconcile; to accept a difference: reconcile ACCOUNT --accept BOOK/TASK"
    return outcome(findings, todo, more=metadata)


def _units(micros: int | None) -> str:
    return "nothing" if micros is None else f"{from_micros(micros):f}"


def _doubt_record(doubt: Doubt, timezone: str) -> dg.TableRecord:
    row = doubt.attempt
    sent = "" if row.sending_at is None else f"{from_ms(row.sending_at):%Y-%m-%d %H:%M:%S} UTC"
    return dg.TableRecord(
        {
            "extension": row.where,
            "account": row.account,
            "units": f"{doubt.exposure:f} {row.unit}",
            "age_h": f"{doubt.age_s / 3600:.1f}",
            "sent": in_zone(sent, timezone),
            "key": doubt.sent_key,
            "why": row.error_message or "",
            "request": f"POST {doubt.path} {row.request}",
        }
    )
