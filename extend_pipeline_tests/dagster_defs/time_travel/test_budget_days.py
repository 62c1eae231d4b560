"""A day's budget opens again at the home's midnight, also after a day of 23, 23.5, 24.5 or 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from extend_pipeline_tests.dagster_defs.time_travel.conftest import Travelling
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

POLL = "kling_poll_sensor"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_run_is_requested_when_the_next_day_of_the_home_begins(
    travelling: Travelling, day: str, hours: float
) -> None:
    opens_again(travelling, "Europe/Berlin", day, hours)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("America/Havana", "2026-03-08", 23),  # begins at 1:00, because its midnight is skipped
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Asia/Kathmandu", "2026-06-01", 24),
    ],
)
def test_a_run_is_requested_in_other_zones_at_their_midnight(
    travelling: Travelling, zone: str, day: str, hours: float
) -> None:
    opens_again(travelling, zone, day, hours)


def opens_again(travelling: Travelling, zone: str, day: str, hours: float) -> None:
    """Assert that a budget which is used up on a day of so many hours is open again with the next one."""
    begins = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    ends = begins + timedelta(hours=hours)
    at = travelling(begins + timedelta(minutes=1))
    at.place.write([video("one")], budget={"per_day": 2, "total": 100})  # one hop of two costs 2
    at.set_timezone(zone)
    at.tick("catalog_sensor")
    [request] = at.tick(POLL).run_requests
    check_user_text(request.tags["extend_pipeline/asked_by"])
    assert at.place.advance(linger_s=0).success
    assert at.charges() == 1
    assert not at.tick(POLL).run_requests

    at.go_to(ends - timedelta(minutes=2))
    assert not at.tick(POLL).run_requests
    at.go_to(ends)
    [request] = at.tick(POLL).run_requests
    check_user_text(request.tags["extend_pipeline/asked_by"])
    at.work()
    assert at.charges() == 2
