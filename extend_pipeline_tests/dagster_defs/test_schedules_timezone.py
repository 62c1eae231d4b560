"""Schedules run by the home's time zone, also over days of 23 and 25 hours, and say so when the home has another one by
now."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from extend_pipeline.dagster_defs.jobs.schedules import build_nightly_backfill_schedule
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.definitions import build_defs
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video


def zones_of(home: Path) -> set[str]:
    defs = build_defs(resource_overrides={"home": HomeResource(home=str(home))})
    schedules = defs.get_repository_def().schedule_defs
    assert {schedule.name for schedule in schedules} == {"nightly_backfill_schedule", "daily_reconciliation_schedule"}
    return {schedule.execution_timezone or "" for schedule in schedules}


def test_schedules_have_the_homes_zone_and_utc_where_there_is_none(tmp_path: Path) -> None:
    assert zones_of(tmp_path / "nowhere") == {"UTC"}
    (tmp_path / "accounts.yaml").write_text("timezone: Europe/Berlin\naccounts: []\n")
    assert zones_of(tmp_path) == {"Europe/Berlin"}
    (tmp_path / "accounts.yaml").write_text("timezone: Mars\naccounts: [\n")
    assert zones_of(tmp_path) == {"UTC"}


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Berlin")), 23),
        ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=ZoneInfo("Europe/Berlin")), 25),
        ("Asia/Shanghai", datetime(2026, 10, 25, tzinfo=ZoneInfo("Asia/Shanghai")), 24),
    ],
)
def test_the_nightly_schedule_ticks_once_just_after_each_midnight(zone: str, day: datetime, hours: int) -> None:
    cron = build_nightly_backfill_schedule(zone).cron_schedule
    ticks = schedule_execution_time_iterator(day.timestamp(), str(cron), zone, ascending=True)
    first, second = next(ticks).astimezone(UTC), next(ticks).astimezone(UTC)
    assert first - day.astimezone(UTC) == timedelta(minutes=5)
    assert second - first == timedelta(hours=hours)


def test_a_night_is_named_by_the_zones_day_and_another_zone_by_now_is_told(place: Place, tmp_path: Path) -> None:
    place.write([video("one", extend={"steps": 1})])
    path = place.home / "accounts.yaml"
    path.write_text(json.dumps({"timezone": "Asia/Shanghai", **json.loads(path.read_text())}))
    midnight = datetime(2026, 11, 28, 16, 5, tzinfo=UTC)
    told: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = told.append  # type: ignore[method-assign]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def evaluate(zone: str) -> dg.RunRequest:
            with dg.build_schedule_context(
                instance=instance, scheduled_execution_time=midnight, resources={"home": place.resource}
            ) as context:
                context.log.addHandler(handler)
                asked = build_nightly_backfill_schedule(zone)(context)
            assert isinstance(asked, dg.RunRequest)
            return asked

        assert evaluate("Asia/Shanghai").run_key == "nightly-2026-11-29"
        assert told == []
        assert evaluate("UTC").run_key == "nightly-2026-11-28"
    assert [record.levelno for record in told] == [logging.WARNING]
    assert "Asia/Shanghai" in told[0].getMessage()
