"""Schedules tick once on each day of the home's time zone, also where their hour is skipped or comes twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

# what Dagster's scheduler asks; 1.13 has no public name for it
from dagster._utils.schedules import schedule_execution_time_iterator

from extend_pipeline.base.days import day_bounds, day_of
from extend_pipeline.base.units import to_ms
from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.jobs.advance import RUN_S
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.publish import publish_if_changed
from extend_pipeline_tests.dagster_defs.time_travel.conftest import Traveller, Travelling
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

ZONES: Final = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",  # no change of clocks
    "Australia/Lord_Howe",  # by half an hour
    "America/Havana",  # at midnight: 0:05 is skipped in March and comes twice in November
    "America/Santiago",  # at midnight
    "Pacific/Kiritimati",  # 14 hours ahead of UTC
)


def schedules_of(home: Path, zone: str) -> dict[str, dg.ScheduleDefinition]:
    """Return the schedules of a home in a time zone, by name."""
    home.mkdir(exist_ok=True)
    (home / "accounts.yaml").write_text(f"timezone: {zone}\naccounts: []\n")
    defs = build_mounted(OWN, HomeResource(home=str(home)))
    return {schedule.name: schedule for schedule in defs.get_repository_def().schedule_defs}


def ticks_of(schedule: dg.ScheduleDefinition, first: date, days: int) -> list[datetime]:
    """Return the moments (UTC) at which Dagster evaluates a schedule, from the beginning of a day on."""
    zone = ZoneInfo(str(schedule.execution_timezone))
    begins, ends = (
        datetime(day.year, day.month, day.day, tzinfo=zone) for day in (first, first + timedelta(days=days))
    )
    moments = schedule_execution_time_iterator(begins.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    return [datetime.fromtimestamp(m.timestamp(), UTC) for m in takewhile(lambda moment: moment < ends, moments)]


@pytest.mark.parametrize("zone", ZONES)
def test_each_schedule_ticks_once_on_each_day_of_a_year(tmp_path: Path, zone: str) -> None:
    for name, schedule in schedules_of(tmp_path, zone).items():
        ticks = ticks_of(schedule, date(2026, 1, 1), 365)
        days = Counter(tick.astimezone(ZoneInfo(zone)).date() for tick in ticks)
        assert set(days.values()) == {1}, name
        assert len(days) == 365, name


@pytest.mark.parametrize("zone", ZONES)
def test_the_nightly_schedule_ticks_in_the_first_minutes_of_each_day_with_a_new_budget(
    tmp_path: Path, zone: str
) -> None:
    for tick in ticks_of(schedules_of(tmp_path, zone)["nightly_backfill_schedule"], date(2026, 1, 1), 365):
        begins_ms, _ = day_bounds(day_of(to_ms(tick), zone))
        assert to_ms(tick) - begins_ms == 5 * 60_000


@pytest.mark.parametrize("zone", ZONES)
def test_the_report_is_written_on_each_morning_when_the_nights_run_is_over(tmp_path: Path, zone: str) -> None:
    schedules = schedules_of(tmp_path, zone)
    nights = ticks_of(schedules["nightly_backfill_schedule"], date(2026, 1, 1), 365)
    mornings = ticks_of(schedules["report_schedule"], date(2026, 1, 1), 365)
    for night, morning in zip(nights, mornings, strict=True):
        assert f"{morning.astimezone(ZoneInfo(zone)):%H:%M}" == "07:30"
        assert timedelta(seconds=RUN_S) < morning - night < timedelta(hours=9)


@pytest.mark.parametrize(
    ("zone", "day", "hour", "offset"),
    [
        ("Europe/Berlin", date(2026, 3, 29), "03:00", "+02:00"),  # 2:30 is skipped
        ("Europe/Berlin", date(2026, 10, 25), "02:30", "+01:00"),  # 2:30 comes twice
        ("America/New_York", date(2026, 3, 8), "03:00", "-04:00"),
        ("America/New_York", date(2026, 11, 1), "02:30", "-05:00"),
        ("Asia/Kathmandu", date(2026, 3, 29), "02:30", "+05:45"),
        ("Australia/Lord_Howe", date(2026, 10, 4), "02:30", "+11:00"),  # 2:00 to 2:30 is skipped
    ],
)
def test_a_schedule_of_an_operator_at_half_past_two_ticks_once(zone: str, day: date, hour: str, offset: str) -> None:
    schedule = dg.ScheduleDefinition(
        name="early", job_name="advance_job", cron_schedule="30 2 * * *", execution_timezone=zone
    )
    [tick] = ticks_of(schedule, day, 1)
    assert tick.astimezone(ZoneInfo(zone)).isoformat() == f"{day}T{hour}:00{offset}"


def evaluate(
    at: Traveller, instance: dg.DagsterInstance, tick: datetime, name: str = "nightly_backfill_schedule"
) -> Any:
    """Evaluate a schedule of a home as it is defined now; return the ScheduleExecutionData."""
    defs = build_mounted(OWN, at.place.resource)
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=tick, resources={"home": at.place.resource}
    ) as context:
        return defs.resolve_schedule_def(name).evaluate_tick(context)


@pytest.mark.parametrize(
    ("zone", "night"),
    [("America/Havana", "2026-03-08"), ("America/Havana", "2026-11-01"), ("Asia/Kathmandu", "2026-06-01")],
)
def test_a_night_has_one_run_key_also_if_its_tick_is_repeated(
    travelling: Travelling, tmp_path: Path, zone: str, night: str
) -> None:
    first = date.fromisoformat(night) - timedelta(days=1)
    at = travelling(datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1))
    at.place.write([video("one")])
    at.set_timezone(zone)
    ticks = ticks_of(schedules_of(tmp_path / "zone", zone)["nightly_backfill_schedule"], first, 3)
    keys: list[str | None] = []
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for tick in ticks:
            at.go_to(tick)
            for _ in range(2):  # a scheduler that was killed evaluates its last tick again
                keys += [request.run_key for request in evaluate(at, instance, tick).run_requests or ()]
    nights = [f"nightly-{first + timedelta(days=days)}" for days in range(3)]
    assert keys == [key for key in nights for _ in range(2)]


def test_the_nightly_schedule_skips_while_a_run_goes_on_and_when_all_is_done(
    travelling: Travelling, tmp_path: Path
) -> None:
    nights = [datetime(2026, 3, day, 0, 5, tzinfo=UTC) for day in (28, 29, 30)]
    at = travelling(nights[0])
    at.place.write([video("one", extend={"steps": 1, "prompt": "x"})])
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        at.place = replace(at.place, instance=instance)
        [request] = evaluate(at, instance, nights[0]).run_requests
        assert request.run_config == {"ops": {"advance": {"config": {"linger_s": 1800.0}}}}
        run = at.start_run()
        skipped = evaluate(at, instance, nights[0])
        assert not skipped.run_requests
        assert run.run_id in skipped.skip_message
        at.go_to(nights[1])  # its process never gave a sign of life
        at.look_at_runs()
        assert len(evaluate(at, instance, nights[1]).run_requests) == 1
        at.work()
        at.go_to(nights[2])
        done = evaluate(at, instance, nights[2])
        assert not done.run_requests
        check_user_text(done.skip_message)


@pytest.mark.parametrize(
    ("zone", "first"),
    [("Europe/Berlin", "2026-03-28"), ("Europe/Berlin", "2026-10-24"), ("America/Havana", "2026-10-31")],
)
def test_a_report_is_requested_once_a_day_and_first_when_something_was_published(
    travelling: Travelling, tmp_path: Path, zone: str, first: str
) -> None:
    begins = date.fromisoformat(first)
    ticks = ticks_of(schedules_of(tmp_path / "zone", zone)["report_schedule"], begins, 3)
    at = travelling(ticks[0])
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        skipped = evaluate(at, instance, ticks[0], "report_schedule")
        assert not skipped.run_requests
        assert "accounts.yaml" in skipped.skip_message
        at.place.write([video("one", extend={"steps": 1, "prompt": "x"})])
        at.set_timezone(zone)
        skipped = evaluate(at, instance, ticks[0], "report_schedule")
        assert not skipped.run_requests
        check_user_text(skipped.skip_message)
        with at.place.resource.open() as pipeline:
            publish_if_changed(pipeline)
        keys: list[str | None] = []
        for tick in ticks:
            at.go_to(tick)
            for _ in range(2):  # a scheduler that was killed evaluates its last tick again
                keys += [request.run_key for request in evaluate(at, instance, tick, "report_schedule").run_requests]
    days = [f"report-{begins + timedelta(days=days)}" for days in range(3)]
    assert keys == [key for key in days for _ in range(2)]
