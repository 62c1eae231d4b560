"""Checks on what the providers hold: doubts, results and sources that end, and how their books agree with ours."""

from decimal import Decimal
from typing import Any, Final

import dagster as dg

from extend_pipeline.base.days import in_zone
from extend_pipeline.base.units import from_micros, from_ms
from extend_pipeline.dagster_defs.checks.outcome import CheckOutcome
from extend_pipeline.engine.fetch.retention import Urgency, ending_now
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.last_reads import statements_now
from extend_pipeline.engine.status import Doubt, disagreements_now, doubts_now

DOUBT_S: Final = 3_600  # six settle windows of class A: whatever is in doubt for longer needs a look
MAX_REPORTED: Final = 50  # rows of a table in the UI


def long_in_doubt(pipeline: Pipeline) -> list[Doubt]:
    """What has been in doubt for longer than an hour."""
    return [doubt for doubt in doubts_now(pipeline) if doubt.age_s > DOUBT_S]


def nothing_in_doubt(pipeline: Pipeline) -> CheckOutcome:
    """Nothing is in doubt for longer than an hour: its units are held, and its video stands still."""
    doubts = doubts_now(pipeline)
    found = [
        f"{doubt.where}: for {doubt.age_s / 3600:.1f} h, {doubt.exposure} {doubt.unit} at stake; {doubt.why}"
        for doubt in doubts
        if doubt.age_s > DOUBT_S
    ]
    exposure: dict[tuple[str, str], Decimal] = {}  # two resellers' credits are not the same thing
    for doubt in doubts:
        of = doubt.account, doubt.unit
        exposure[of] = exposure.get(of, Decimal(0)) + doubt.exposure
    shown: dict[str, Any] = {"in_doubt": len(doubts)}
    shown |= {f"at_stake_{account}_{unit}": f"{units:f}" for (account, unit), units in exposure.items()}
    if doubts:
        shown["requests"] = dg.MetadataValue.table(
            [_doubt_record(doubt, pipeline.configuration.timezone) for doubt in doubts[:MAX_REPORTED]],
            schema=_DOUBT_SCHEMA,
        )
    return CheckOutcome(found, "extend-pipeline resolve VIDEO/HOP adopt TASK | resubmit | write-off", more=shown)


def nothing_ends_soon(pipeline: Pipeline) -> CheckOutcome:
    """Every paid result is fetched before half of its keeping time is over, and every source long before its end."""
    now_ms = pipeline.now_ms()
    expiring = ending_now(pipeline)
    grave = any(each.what != "source" and each.urgency is not Urgency.SOON for each in expiring)
    severity = dg.AssetCheckSeverity.ERROR if grave else dg.AssetCheckSeverity.WARN
    todo = "extend-pipeline advance; what can't be fetched says why in extend-pipeline status"
    return CheckOutcome([each.describe(now_ms) for each in expiring], todo, severity)


def books_agree(pipeline: Pipeline) -> CheckOutcome:
    """The ledger and the providers' lists, bills and invoices agree, as they were last compared; and each that is asked
    for was answered in the last three days."""
    found = [
        f"{row.account}, {row.source}, task {row.task_id}: {row.verdict.replace('_', ' ')}"
        f" (ledger {_units(row.ledger_micros)}, provider {_units(row.upstream_micros)} {row.unit}); {row.note}"
        for row in disagreements_now(pipeline)
    ]
    now_ms, books = pipeline.now_ms(), statements_now(pipeline)
    found += [book.unavailable_text for book in books if book.is_long_unavailable(now_ms)]
    shown = {f"others_{book.account}_{book.source}": book.others for book in books if book.others}
    todo = "extend-pipeline reconcile; to let one be: reconcile ACCOUNT --accept BOOK/TASK"
    return CheckOutcome(found, todo, more=shown)


def _units(micros: int | None) -> str:
    return "nothing" if micros is None else f"{from_micros(micros):f}"


_DOUBT_SCHEMA: Final = dg.TableSchema(
    columns=[
        dg.TableColumn(name, "string")
        for name in ("extension", "account", "units", "age_h", "sent", "key", "why", "request")
    ]
)


def _doubt_record(doubt: Doubt, timezone: str) -> dg.TableRecord:
    sent = "" if doubt.sent_at is None else f"{from_ms(doubt.sent_at):%Y-%m-%d %H:%M:%S} UTC"
    return dg.TableRecord(
        {
            "extension": doubt.where,
            "account": doubt.account,
            "units": f"{doubt.exposure:f} {doubt.unit}",
            "age_h": f"{doubt.age_s / 3600:.1f}",
            "key": doubt.sent_key,
            "why": doubt.why,
            "sent": in_zone(sent, timezone),
            "request": f"POST {doubt.path} {doubt.request}",
        }
    )
