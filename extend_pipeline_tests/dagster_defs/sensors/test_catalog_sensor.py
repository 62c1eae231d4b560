"""catalog_sensor over consecutive ticks: partitions follow the catalogue, and every mistake is reported."""

from __future__ import annotations

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.checks.ledger import CONFIGURATION_IS_VALID
from extend_pipeline.ledger.read import queries
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


def test_partitions_are_listed_only_when_the_set_of_videos_has_changed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []

    def list_partitions(instance: dg.DagsterInstance, name: str) -> list[str]:
        listed.append(name)
        return list(listing(instance, name))

    listing = dg.DagsterInstance.get_dynamic_partitions
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    monkeypatch.setattr(dg.DagsterInstance, "get_dynamic_partitions", list_partitions)
    place.sensor("catalog_sensor")
    place.write([{**video("one"), "extend": {"to": 21}}, video("two")])  # an edit changes no partition
    place.sensor("catalog_sensor")
    assert listed == []
    place.write([{**video("one"), "extend": {"to": 21}}])
    place.sensor("catalog_sensor")
    assert len(listed) == 1
    place.write([{**video("one"), "extend": {"to": 21}}, video("three")])
    place.sensor("catalog_sensor")
    assert len(listed) == 2
    with dg.DagsterInstance.ephemeral() as fresh:
        place.sensor("catalog_sensor", fresh)
        assert fresh.get_dynamic_partitions("videos") == ["one", "three"]


def test_new_entries_become_partitions_and_those_that_left_lose_theirs(place: Place) -> None:
    place.write([video("one"), video("two")])
    check_user_text(place.sensor("catalog_sensor").skip_message)
    check_user_text(place.sensor("catalog_sensor").skip_message)
    place.write([video("two"), video("three")])
    place.sensor("catalog_sensor")
    assert place.instance.get_dynamic_partitions("videos") == ["two", "three"]
    with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
        assert {row.video_key: row.state for row in queries.videos(connection)} == {
            "one": "withdrawn",
            "two": "new",
            "three": "new",
        }


def test_one_tick_adds_the_partitions_of_many_new_videos(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extend_pipeline.dagster_defs.partitions.KEYS_A_STATEMENT", 2)
    keys = [f"v{number}" for number in range(5)]
    place.write([video(key) for key in keys])
    place.sensor("catalog_sensor")
    assert place.instance.get_dynamic_partitions("videos") == keys


def test_the_partition_of_a_renamed_video_moves_along(place: Place) -> None:
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    place.write([{**video("one"), "key": "uno", "was": "one"}, video("two")])
    place.sensor("catalog_sensor")
    assert sorted(place.instance.get_dynamic_partitions("videos")) == ["two", "uno"]
    place.sensor("catalog_sensor")
    assert sorted(place.instance.get_dynamic_partitions("videos")) == ["two", "uno"]


def test_a_catalogue_with_mistakes_keeps_the_partitions_and_the_tick_lists_every_mistake(place: Place) -> None:
    place.write([video("one")])
    place.sensor("catalog_sensor")
    invalid = video("two", extend={"to": 1, "prompt": "x"})
    place.write([video("one", account="unlisted"), invalid, video("three", colour="red")])
    check_user_text(place.sensor("catalog_sensor").skip_message)
    assert place.instance.get_dynamic_partitions("videos") == ["one"]
    with dg.DagsterInstance.ephemeral() as fresh:  # a lost DAGSTER_HOME fills up again meanwhile
        place.sensor("catalog_sensor", fresh)
        assert fresh.get_dynamic_partitions("videos") == ["one"]
    place.write([video("one"), video("two")])
    check_user_text(place.sensor("catalog_sensor").skip_message)
    assert place.instance.get_dynamic_partitions("videos") == ["one", "two"]


def test_partitions_come_back_from_the_ledger_when_dagster_home_was_lost(place: Place) -> None:
    place.write([video("kept"), video("left-since")])
    place.sensor("catalog_sensor")
    place.write([video("kept")])
    place.sensor("catalog_sensor")
    with dg.DagsterInstance.ephemeral() as fresh:
        place.sensor("catalog_sensor", fresh)
        assert fresh.get_dynamic_partitions("videos") == ["kept"]


def test_a_run_that_has_not_come_to_its_checks_yet_holds_up_no_partition(place: Place) -> None:
    place.write([video("one")])
    place.sensor("catalog_sensor")
    job = place.defs.resolve_implicit_global_asset_job_def()
    run = place.instance.create_run_for_job(job)  # with an event for each check that is planned
    checks = place.instance.event_log_storage.get_latest_asset_check_execution_by_key([CONFIGURATION_IS_VALID])
    assert checks[CONFIGURATION_IS_VALID].run_id == run.run_id
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    assert place.instance.get_dynamic_partitions("videos") == ["one", "two"]
