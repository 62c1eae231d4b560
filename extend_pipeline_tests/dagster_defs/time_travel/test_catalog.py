"""catalog_sensor over hours: what it lists, and when it lists again."""

from __future__ import annotations

from datetime import UTC, datetime

from extend_pipeline_tests.dagster_defs.time_travel.conftest import Travelling
from extend_pipeline_tests.support.home.homes import video

NAME = "catalog_sensor"
NIGHT = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks change


def test_partitions_follow_the_catalogue_and_come_back_within_an_hour(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video("one"), video("two")])
    at.set_timezone("Europe/Berlin")
    assert at.tick(NAME).skip_message == "2 partitions added, 0 to come"
    listed = at.cursors[NAME]
    for _ in range(3):
        at.wait(minutes=15)
        assert at.tick(NAME).skip_message == "every video has its partition"
    assert at.cursors[NAME] == listed

    at.place.instance.delete_dynamic_partition("videos", "one")  # by hand, in the UI
    at.wait(minutes=10)
    at.tick(NAME)
    assert at.place.instance.get_dynamic_partitions("videos") == ["two"]
    at.wait(minutes=10)  # an hour and more since all were listed
    assert at.tick(NAME).skip_message == "1 partitions added, 0 to come"
    assert sorted(at.place.instance.get_dynamic_partitions("videos")) == ["one", "two"]

    at.place.write([video("one"), video("two"), video("three")])
    assert at.tick(NAME).skip_message == "1 partitions added, 0 to come"
    at.place.write([video("two"), video("three")])
    at.wait(minutes=1)
    assert at.tick(NAME).skip_message == "every video has its partition"
    assert len(at.place.instance.get_dynamic_partitions("videos")) == 3


def test_a_clock_that_was_an_hour_ahead_holds_up_no_listing(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video("one")])
    at.wait(hours=1)
    at.tick(NAME)
    at.place.instance.delete_dynamic_partition("videos", "one")
    at.wait(hours=-1)
    at.tick(NAME)
    assert at.place.instance.get_dynamic_partitions("videos") == ["one"]
