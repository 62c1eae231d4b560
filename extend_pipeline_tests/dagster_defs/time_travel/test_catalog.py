"""catalog_sensor over hours: what it lists, and when it lists again."""

from __future__ import annotations

from datetime import UTC, datetime

from extend_pipeline_tests.dagster_defs.time_travel.conftest import Traveller, Travelling
from extend_pipeline_tests.support.home.homes import video

NAME = "catalog_sensor"
NIGHT = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks change


def partitions(at: Traveller) -> list[str]:
    """Return the partitions of the videos, sorted."""
    return sorted(at.place.instance.get_dynamic_partitions("videos"))


def test_partitions_follow_the_catalogue_and_come_back_within_an_hour(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video("one"), video("two")])
    at.set_timezone("Europe/Berlin")
    at.tick(NAME)
    for _ in range(3):
        at.wait(minutes=15)
        tick = at.tick(NAME)
        assert not tick.run_requests
        assert tick.skip_message

    at.place.instance.delete_dynamic_partition("videos", "one")  # by hand, in the UI
    at.wait(minutes=10)
    at.tick(NAME)
    assert partitions(at) == ["two"]
    at.wait(minutes=10)  # an hour and more since all were listed
    at.tick(NAME)
    assert partitions(at) == ["one", "two"]

    at.place.write([video("one"), video("two"), video("three")])
    at.tick(NAME)
    assert partitions(at) == ["one", "three", "two"]


def test_a_clock_that_was_an_hour_ahead_holds_up_no_listing(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video("one")])
    at.wait(hours=1)
    at.tick(NAME)
    at.place.instance.delete_dynamic_partition("videos", "one")
    at.wait(hours=-1)
    at.tick(NAME)
    assert partitions(at) == ["one"]
