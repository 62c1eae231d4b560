"""The retention sensor warns twice and requests a run; the daily job compares statements and evaluates the check."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import time_machine

from extend_pipeline.alerts.marks import MAX_MARKS
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.sensors.build import NOTHING
from extend_pipeline.dagster_defs.sensors.one_request import may_request
from extend_pipeline.dagster_defs.sensors.retention import cursor_of, marks_in
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.fetch.retention import Expiring, Urgency
from extend_pipeline.sandbox import running_sandbox
from extend_pipeline_tests.dagster_defs.conftest import SMALL, Place, open_place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

DAY = datetime.timedelta(days=1)


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """Yield a place with a sandbox of its own, whose bills are never late."""
    config = replace(SMALL, billing_delay=0, billing_interval=0)
    with running_sandbox(tmp_path / "sandbox", config) as sandbox, open_place(tmp_path / "home", sandbox) as place:
        yield place


def evaluate_later(
    place: Place, after: datetime.timedelta, cursor: str | None, name: str = "retention_sensor"
) -> dg.SensorResult | dg.SkipReason:
    """Return the result of a sensor's tick that long from now."""
    sensor = place.defs.get_repository_def().get_sensor_def(name)
    with (
        time_machine.travel(datetime.datetime.now(datetime.UTC) + after, tick=True),
        dg.build_sensor_context(
            instance=place.instance, resources={"home": place.resource}, definitions=place.defs, cursor=cursor
        ) as context,
    ):
        result = sensor(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_the_sensor_warns_of_a_result_at_half_its_time_and_in_its_last_hour(own_place: Place) -> None:
    own_place.write([video("one")])
    own_place.pay_without_fetching()
    early = evaluate_later(own_place, DAY, None)
    assert isinstance(early, dg.SkipReason)
    check_user_text(early.skip_message or "")

    half = evaluate_later(own_place, 16 * DAY, None)
    assert isinstance(half, dg.SensorResult)
    assert half.run_requests
    check_user_text(half.run_requests[0].tags["extend_pipeline/asked_by"])
    (check,) = half.asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert (check.check_name, check.passed, check.severity) == (
        "nothing_ends_soon",
        False,
        dg.AssetCheckSeverity.WARN,
    )
    check_user_text(check.description or "")

    again = evaluate_later(own_place, 17 * DAY, half.cursor)
    assert isinstance(again, dg.SkipReason)
    check_user_text(again.skip_message or "")

    last = evaluate_later(own_place, 30 * DAY - datetime.timedelta(minutes=30), half.cursor)
    assert isinstance(last, dg.SensorResult)
    (check,) = last.asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert check.severity is dg.AssetCheckSeverity.ERROR
    check_user_text(check.description or "")


def test_the_sensor_requests_no_run_beside_that_of_a_poll_sensor(own_place: Place) -> None:
    own_place.write([video("one")])
    own_place.pay_without_fetching()
    with time_machine.travel(datetime.datetime.now(datetime.UTC) + 16 * DAY, tick=False):
        assert may_request(own_place.instance, OWN, "kling", now_s=time.time())
    beside = evaluate_later(own_place, 16 * DAY, None)
    assert isinstance(beside, dg.SensorResult)
    assert not beside.run_requests
    assert len(beside.asset_events) == 1, "it warns all the same"
    later = evaluate_later(own_place, 16 * DAY + datetime.timedelta(minutes=1), None)
    assert isinstance(later, dg.SensorResult)
    assert later.run_requests


def test_the_daily_job_adopts_an_unmatched_task_and_reports_it_in_the_check(
    own_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    own_place.write([video("one")], adopt_orphans="all")
    assert own_place.advance().success
    unmatched = own_place.sandbox.foreign_task()
    job = own_place.defs.resolve_job_def("reconcile_job")
    with caplog.at_level(logging.WARNING):
        first = job.execute_in_process(instance=own_place.instance)
    assert first.success
    checks = {check.check_name: check for check in first.get_asset_check_evaluations()}
    assert not checks["books_agree"].passed
    assert unmatched["task_id"] in (checks["books_agree"].description or "")
    assert own_place.advance().success  # records and fetches it
    second = job.execute_in_process(instance=own_place.instance)
    checks = {check.check_name: check for check in second.get_asset_check_evaluations()}
    assert all(check.passed for check in checks.values()), {name: check.description for name, check in checks.items()}


def test_the_schedule_requests_one_run_a_day(own_place: Place) -> None:
    schedule = own_place.defs.resolve_schedule_def("daily_reconciliation_schedule")
    context = dg.build_schedule_context(
        instance=own_place.instance,
        scheduled_execution_time=datetime.datetime(2026, 11, 20, 13, 40, tzinfo=datetime.UTC),
    )
    data = schedule.evaluate_tick(context)
    assert len(data.run_requests or []) == 1
    assert schedule.cron_schedule == "40 13 * * *"


def test_a_doubt_is_shown_in_the_ui_with_its_exposure_and_the_exact_request(own_place: Place) -> None:
    own_place.write([video("one")])
    own_place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    result = own_place.advance(max_seconds=5.0)
    assert result.success
    checks = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    check = checks["nothing_in_doubt"]
    assert check.passed  # it is younger than an hour
    assert check.metadata["in_doubt"].value == 1
    assert check.metadata["at_stake_sandbox_kling-unit"].value == "2"
    requests = check.metadata["requests"]
    assert isinstance(requests, dg.TableMetadataValue)
    (record,) = requests.records
    assert record.data["extension"] == "one/1"
    assert own_place.source("one") in str(record.data["request"])
    assert str(record.data["key"]) in str(record.data["request"])


def test_a_doubt_is_reported_after_an_hour_without_any_run(own_place: Place) -> None:
    own_place.write([video("one")], submit_class="C")
    own_place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    with own_place.resource.open() as pipeline:
        assert advance(pipeline, publish=False).submitted.in_doubt == ["one/1"]
    assert own_place.advance().success  # so that Dagster has recorded it
    hour = datetime.timedelta(hours=1)
    assert isinstance(evaluate_later(own_place, hour / 2, None, "doubt_sensor"), dg.SkipReason)
    poll = evaluate_later(own_place, 2 * hour, None, "kling_poll_sensor")
    assert isinstance(poll, dg.SkipReason)  # no run is requested for it
    late = evaluate_later(own_place, 2 * hour, None, "doubt_sensor")
    assert isinstance(late, dg.SensorResult)
    (check,) = late.asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert (check.check_name, check.passed) == ("nothing_in_doubt", False)
    check_user_text(check.description or "")
    again = evaluate_later(own_place, 3 * hour, late.cursor, "doubt_sensor")
    assert isinstance(again, dg.SkipReason)
    with own_place.resource.open() as pipeline:
        resolved = resolve.write_off(pipeline, "one/1", who="operator", why="not in the console")
        assert isinstance(resolved, resolve.Resolved)
    after = evaluate_later(own_place, 3 * hour, late.cursor, "doubt_sensor")
    assert isinstance(after, dg.SensorResult)
    (check,) = after.asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert (check.passed, after.cursor) == (True, NOTHING)


def test_a_cursor_stays_short_with_ten_thousand_expiring_results() -> None:
    expiring = [
        Expiring(what="result", where=f"{'v' * 60}{n}/1", account="k", ends_ms=n, urgency=Urgency.SOON)
        for n in range(10_000)
    ]
    cursor = cursor_of(expiring)
    assert len(cursor) < 25_000
    assert len(marks_in(cursor)) == MAX_MARKS
    assert cursor_of(expiring[1:]) != cursor
    late = [replace(expiring[0], urgency=Urgency.LAST_HOUR), *expiring[1:10]]
    assert len(marks_in(cursor_of(late)) - marks_in(cursor)) == 1  # only new marks are reported
    assert marks_in(cursor_of([])) == marks_in(None) == frozenset()
