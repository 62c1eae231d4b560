"""Schedules run by the home's time zone, also over days of 23 and 25 hours, and warn once the home has another zone."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.jobs.schedules import build_nightly_backfill_schedule
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video


def zones_of(home: Path) -> set[str]:
    """Return the time zones of a home's schedules."""
    defs = build_mounted(OWN, HomeResource(home=str(home)))
    schedules = defs.get_repository_def().schedule_defs
    assert {schedule.name for schedule in schedules} == {
        "nightly_backfill_schedule",
        "daily_reconciliation_schedule",
        "report_schedule",
    }
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
    cron = build_nightly_backfill_schedule(OWN, zone).cron_schedule
    # partitions of the same cron string: their windows end where the schedule ticks
    ticks = dg.TimeWindowPartitionsDefinition(start=day, cron_schedule=str(cron), timezone=zone, fmt="%Y-%m-%d %H:%M")
    night = ticks.get_next_partition_window(day)
    assert night is not None
    first, second = night.start.astimezone(UTC), night.end.astimezone(UTC)
    assert first - day.astimezone(UTC) == timedelta(minutes=5)
    assert second - first == timedelta(hours=hours)


def test_a_run_key_has_the_zones_day_and_a_changed_zone_is_logged(place: Place, tmp_path: Path) -> None:
    place.write([video("one", extend={"steps": 1})])
    path = place.home / "accounts.yaml"
    path.write_text(json.dumps({"timezone": "Asia/Shanghai", **json.loads(path.read_text())}))
    midnight = datetime(2026, 11, 28, 16, 5, tzinfo=UTC)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def evaluate(zone: str) -> dg.RunRequest:
            with dg.build_schedule_context(
                instance=instance, scheduled_execution_time=midnight, resources={"home": place.resource}
            ) as context:
                context.log.addHandler(handler)
                request = build_nightly_backfill_schedule(OWN, zone)(context)
            assert isinstance(request, dg.RunRequest)
            return request

        assert evaluate("Asia/Shanghai").run_key == "nightly-2026-11-29"
        assert records == []
        assert evaluate("UTC").run_key == "nightly-2026-11-28"
    assert [record.levelno for record in records] == [logging.WARNING]
    assert "Asia/Shanghai" in records[0].getMessage()
