"""Every view against figures worked out by hand."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.base.units import from_ms
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.warehouse import definitions
from extend_pipeline.warehouse.publish import publish
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.support.ledger.events import append_attempt, declare_video, seed_adjustment
from extend_pipeline_tests.support.user_texts import check_user_text

DAY = 86_400_000
HOUR = 3_600_000
D = Decimal
MONDAY = 1_793_577_600_000  # 2026-11-02 00:00 UTC
CNY: dict[str, Any] = {
    "account": "modelverse",
    "provider": "vidu",
    "unit": "cny",
    "currency": "CNY",
    "predicted_micros": 1_500_000,
    "unit_price_micros": 1_000_000,
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Yield a published file with a week's attempts.

    Monday: harbour/1 stored, settled at 2 of 2 units, adjusted by -0.5; harbour/2 failed and charged; at 23:59:59
    harbour/2 again, stored on Tuesday. Tuesday: robot/1 in CNY, a segment; robot/2 in doubt; robot/3 released;
    harbour/3 rejected. Now: cat/1 succeeded and not stored, its result kept for another 10 hours."""
    folder = tmp_path_factory.mktemp("views")
    ledger = open_ledger(f"sqlite:///{folder}/ledger.sqlite")
    now = int(time.time() * 1000)
    with ledger.write(now_ms=MONDAY, actor="test") as tx:
        declare_video(tx, "harbour", extendable_until=now + 48 * HOUR)
        declare_video(tx, "cat", extendable_until=None)
        declare_video(tx, "robot", account="modelverse", extendable_until=now - 2 * HOUR)
        declare_video(tx, "gone", extendable_until=now + HOUR)
        tx.append("video_withdrawn", video_key="gone")
    with ledger.write(now_ms=MONDAY + HOUR, actor="test") as tx:
        append_attempt(tx, "h1", step_ms=60_000)
        append_attempt(tx, "h2", hop=2, until="failed", end={"error_message": "content"})
    seed_adjustment(ledger, "h1", micros=-500_000, now_ms=MONDAY + 2 * HOUR)
    with ledger.write(now_ms=MONDAY + DAY - 1_000, actor="test") as tx:
        append_attempt(tx, "h2b", hop=2, parent_attempt_id="h1", parent_duration_ms=9_600, step_ms=180_000)
    with ledger.write(now_ms=MONDAY + DAY + HOUR, actor="test") as tx:
        segment = {"probed_duration_ms": 4_000, "output_kind": "segment"}
        append_attempt(tx, "r1", video="robot", end=segment, **CNY)
        append_attempt(tx, "r2", video="robot", hop=2, until="in_doubt", end={"error_reason": "timeout"}, **CNY)
        append_attempt(tx, "r3", video="robot", hop=3, until="released", **CNY)
        append_attempt(tx, "h3", hop=3, until="rejected", end={"error_code": "1303"})
    with ledger.write(now_ms=now - HOUR, actor="test") as tx:
        append_attempt(
            tx, "c1", video="cat", until="succeeded", end={"expires_at": now + 10 * HOUR, "reported_micros": 1_000_000}
        )
    path = folder / "warehouse.duckdb"
    publish(ledger, target=path, work=folder / "work.duckdb", now_ms=now)
    ledger.close()
    return path


def rows(target: Path, sql: str) -> list[tuple[Any, ...]]:
    return query(target, sql).rows


def test_cost_by_day_shows_what_was_spent_and_what_is_reserved(target: Path) -> None:
    days = rows(target, "SELECT * EXCLUDE (provider, timezone) FROM cost_by_day WHERE day < '2026-11-04'")
    assert days == [
        # h1 2 - 0.5, h2 2 (failed, charged), h2b 2: claimed one second before midnight, so Monday's budget
        (date(2026, 11, 2), "kling-main", "kling-unit", "USD", D("5.5"), D("0.77"), D(0), D(0), 3),
        (date(2026, 11, 3), "kling-main", "kling-unit", "USD", D(0), D(0), D(0), D(0), 1),
        (date(2026, 11, 3), "modelverse", "cny", "CNY", D("1.5"), D("1.5"), D("1.5"), D("1.5"), 3),
    ]


def test_cost_by_account_never_adds_two_currencies(target: Path) -> None:
    assert rows(target, "SELECT * EXCLUDE (provider) FROM cost_by_account") == [
        # 5.5 and c1's reported 1; h2 of 2 units gave no film
        ("kling-main", "kling-unit", "USD", D("6.5"), D("0.91"), D(0), D(0), D("6.5"), D("0.28"), 5, 2),
        ("modelverse", "cny", "CNY", D("1.5"), D("1.5"), D("1.5"), D("1.5"), D("3.0"), D(0), 3, 1),
    ]


@pytest.mark.parametrize("view", sorted(name for name in definitions.views() if name.startswith("cost_")))
def test_no_cost_view_adds_up_what_is_of_two_currencies(target: Path, view: str) -> None:
    sums = query(target, f"SELECT currency, sum(spent_amount) FROM {view} GROUP BY currency ORDER BY currency").rows
    assert sums == [("CNY", D("1.5")), ("USD", D("0.91"))]


def test_cost_by_video_counts_failures_and_gives_the_price_of_a_second(target: Path) -> None:
    columns = (
        "video_key, attempts, extensions, spent_units, spent_amount, reserved_units, added_s, amount_per_second, "
        "currency"
    )
    videos = rows(target, f"SELECT {columns} FROM cost_by_video")
    assert videos == [
        ("cat", 1, 0, D(1), D("0.14"), D(0), None, None, "USD"),
        # 0.77 USD for twice 4.5 seconds
        ("harbour", 4, 2, D("5.5"), D("0.77"), D(0), D(9), D("0.085556"), "USD"),
        ("robot", 3, 1, D("1.5"), D("1.5"), D("1.5"), D(4), D("0.375"), "CNY"),
    ]


def test_cost_per_second_is_shown_with_and_without_failures(target: Path) -> None:
    columns = (
        "account, extensions, unmeasured_extensions, added_s, units_per_second, amount_per_second, "
        "amount_per_second_with_failures"
    )
    accounts = rows(target, f"SELECT {columns} FROM cost_per_second")
    assert accounts == [
        # h1 1.5 + h2b 2 units over 9 s; 0.49 USD; with h2's 0.28
        ("kling-main", 2, 0, D(9), D("0.388889"), D("0.054444"), D("0.085556")),
        ("modelverse", 1, 0, D(4), D("0.375"), D("0.375"), D("0.375")),
    ]


def test_duration_metrics_show_lengths_and_waits(target: Path) -> None:
    columns = (
        "account, extensions, measured_extensions, added_s, added_s_mean, longest_s, wait_s_median, wait_s_p90, "
        "wait_s_max"
    )
    accounts = rows(target, f"SELECT {columns} FROM duration_metrics")
    assert accounts == [
        # one step between submitted and completed: 60 s and 180 s
        ("kling-main", 2, 2, D(9), D("4.5"), D("14.1"), D(120), D(168), D(180)),
        ("modelverse", 1, 1, D(4), D(4), D(4), D(1), D(1), D(1)),
    ]


def test_in_doubt_shows_the_exposure_its_age_and_the_request(target: Path) -> None:
    result = query(target, "SELECT * FROM in_doubt")
    assert len(result.rows) == 1
    row = dict(zip(result.columns, result.rows[0], strict=True))
    since = MONDAY + DAY + HOUR + 2_000
    assert row.pop("age_hours") == pytest.approx(D(int(time.time() * 1000) - since) / HOUR, abs=D("0.1"))
    assert row == {
        "video_key": "robot",
        "hop": 2,
        "attempt_id": "r2",
        "account": "modelverse",
        "provider": "vidu",
        "submit_class": "A",
        "external_task_id": "ext-r2",
        "unit": "cny",
        "exposure_units": D("1.5"),
        "currency": "CNY",
        "exposure_amount": D("1.5"),
        "sending_at": from_ms(since - 1_000),
        "in_doubt_at": from_ms(since),
        "absences": 0,
        "error_reason": "timeout",
        "error_message": None,
        "request": '{"video_id":"000827942411241803"}',
    }


def test_retention_names_paid_results_and_sources_with_the_hours_that_are_left(target: Path) -> None:
    expiries = rows(target, "SELECT kind, video_key, hop, attempt_id, round(hours_left) FROM retention")
    assert expiries == [
        ("source", "robot", None, None, D(-2)),
        ("result", "cat", 1, "c1", D(10)),
        ("source", "harbour", None, None, D(48)),
    ]


def test_success_rates_leave_out_attempts_that_were_never_made(target: Path) -> None:
    columns = "account, attempts, stored, failed, rejected, lost, released, in_doubt, open, success_rate"
    accounts = rows(target, f"SELECT {columns} FROM success_rates")
    assert accounts == [
        ("kling-main", 5, 2, 1, 1, 0, 0, 0, 1, D("0.5")),
        ("modelverse", 3, 1, 0, 0, 0, 1, 1, 0, D(1)),
    ]


def test_focus_has_a_row_a_charge_with_whole_hours_and_months(target: Path) -> None:
    result = query(target, """SELECT * FROM focus_1_2 WHERE "x_AttemptId" = 'h1' ORDER BY "ChargePeriodStart" """)
    settle, adjust = (dict(zip(result.columns, row, strict=True)) for row in result.rows)
    assert settle["BilledCost"] == settle["EffectiveCost"] == D("0.28")
    assert (settle["BillingCurrency"], settle["BillingAccountId"]) == ("USD", "kling-main")
    assert settle["ChargePeriodStart"] == from_ms(MONDAY + HOUR)
    assert settle["ChargePeriodEnd"] == from_ms(MONDAY + 2 * HOUR)
    assert settle["BillingPeriodStart"] == from_ms(MONDAY - DAY)
    assert settle["BillingPeriodEnd"] == from_ms(MONDAY + 29 * DAY)
    assert (settle["ChargeCategory"], settle["ConsumedQuantity"], settle["ConsumedUnit"]) == (
        "Usage",
        D(2),
        "kling-unit",
    )
    assert settle["ListUnitPrice"] * settle["PricingQuantity"] == settle["ListCost"]
    assert (settle["ResourceId"], settle["SkuId"]) == ("harbour", "kling/video-extend/std")
    check_user_text(settle["ChargeDescription"])
    assert (adjust["ChargeCategory"], adjust["BilledCost"], adjust["ConsumedQuantity"]) == (
        "Adjustment",
        D("-0.07"),
        None,
    )


FOCUS_MANDATORY = (
    "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory"
    " ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName"
    " ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName"
)


def test_focus_has_the_mandatory_columns_and_its_sum_is_what_was_spent(target: Path) -> None:
    columns = query(target, "SELECT * FROM focus_1_2 LIMIT 0").columns
    assert set(FOCUS_MANDATORY.split()) <= set(columns)
    assert rows(
        target, 'SELECT "BillingCurrency", sum("BilledCost"), count(*) FROM focus_1_2 GROUP BY 1 ORDER BY 1'
    ) == [
        ("CNY", D("1.5"), 1),
        ("USD", D("0.91"), 5),
    ]


def test_views_do_not_depend_on_the_readers_time_zone(target: Path) -> None:
    import duckdb

    with duckdb.connect(str(target), read_only=True) as connection:
        results = set()
        for zone in ("Pacific/Kiritimati", "America/Los_Angeles", "UTC"):
            connection.execute(f"SET TimeZone = '{zone}'")
            days = connection.execute("SELECT day, spent_units FROM cost_by_day").fetchall()
            hours = connection.execute('SELECT epoch_ms("ChargePeriodStart") FROM focus_1_2').fetchall()
            months = connection.execute('SELECT epoch_ms("BillingPeriodEnd") FROM focus_1_2').fetchall()
            results.add(str((days, hours, months)))
    assert len(results) == 1
