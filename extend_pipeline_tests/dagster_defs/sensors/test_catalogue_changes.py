"""Partitions follow the catalogue: what leaves, what comes back, what is renamed, and a wrong file that was saved."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from extend_pipeline.dagster_defs import partitions
from extend_pipeline.dagster_defs.mount import OWN, VIDEOS
from extend_pipeline.dagster_defs.partitions import InLine, bring_in_line
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.guards.ledger_look import accept
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

WARN = dg.AssetCheckSeverity.WARN
LATER = {"first_after": 900, "every": 900}


def keys(place: Place) -> list[str]:
    """Return the partitions, in Dagster's order."""
    return list(place.instance.get_dynamic_partitions(VIDEOS))


def many(count: int) -> list[dict[str, Any]]:
    """Return entries of the catalogue: v00, v01, …"""
    return [video(f"v{number:02}", extend=ONE_HOP) for number in range(count)]


def materialized(place: Place) -> set[str]:
    """Return the partitions of completed_extensions that Dagster's pages show as materialized."""
    key = dg.AssetKey("completed_extensions")
    definition = place.defs.resolve_asset_graph().get(key).partitions_def
    assert definition is not None
    with dg.partition_loading_context(dynamic_partitions_store=place.instance):
        value = get_and_update_asset_status_cache_value(place.instance, key, definition)
        assert value is not None
        return set(value.deserialize_materialized_partition_subsets(definition).get_partition_keys())


def in_line(place: Place, **choices: Any) -> InLine:
    """Declare the catalogue and bring the partitions in line, without a sensor."""
    with place.resource.open() as pipeline:
        declare_catalogue(pipeline)
        return bring_in_line(place.instance, pipeline, OWN, **choices)


def test_a_removed_video_loses_its_partition_keeps_its_history_and_comes_back_unpaid(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    assert place.advance().success
    assert materialized(place) == {"one", "two"}
    place.write([video("two", extend=ONE_HOP)])
    check_user_text(place.sensor("catalog_sensor").skip_message)
    assert keys(place) == ["two"]
    assert materialized(place) == {"two"}
    assert place.advance().success
    assert keys(place) == ["two"], "a run adds no partition of a withdrawn video"
    assert place.latest("completed_extensions", "one") is not None
    assert place.states() == {"one": "withdrawn", "two": "complete"}
    with place.resource.open() as pipeline:
        lineage = query(pipeline.settings.warehouse_path, "SELECT video_key FROM lineage ORDER BY 1").rows
    assert [key for (key,) in lineage] == ["one", "two"]
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    check_user_text(place.sensor("catalog_sensor").skip_message)
    assert sorted(keys(place)) == ["one", "two"]
    assert materialized(place) == {"one", "two"}
    assert place.advance().success
    assert place.states() == {"one": "complete", "two": "complete"}
    assert (place.submits("one"), place.submits("two")) == (1, 1)


def test_a_video_that_leaves_in_flight_keeps_its_partition_until_its_film_is_stored(place: Place) -> None:
    place.write([video("one", extend={"steps": 2, "prompt": "x"}), video("two", extend=ONE_HOP)], poll=LATER)
    place.sensor("catalog_sensor")
    place.materialise("extension_requests", keys=["one"])
    place.write([video("two", extend=ONE_HOP)], poll=LATER)
    for _ in range(2):  # compared, and unchanged
        check_user_text(place.sensor("catalog_sensor").skip_message)
        assert keys(place) == ["one", "two"]
    place.write([video("two", extend=ONE_HOP)])
    place.sensor("kling_poll_sensor")
    check_user_text(place.sensor("catalog_sensor").skip_message)
    assert keys(place) == ["one", "two"], "its film is to be fetched"
    assert place.advance().success
    assert keys(place) == ["two"]
    film = place.latest("completed_extensions", "one")
    assert film is not None
    assert film.metadata["hop"].value == 1
    assert place.submits("one") == 1


def test_an_emptied_catalogue_removes_no_partition_until_a_person_says_so(place: Place) -> None:
    entries = [video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)]
    place.write(entries)
    place.sensor("catalog_sensor")
    assert place.advance().success
    place.write([])
    for _ in range(2):
        check_user_text(place.sensor("catalog_sensor").skip_message)
    assert place.advance().success
    job = place.defs.resolve_job_def("partitions_job")
    assert job.execute_in_process(instance=place.instance).success
    assert keys(place) == ["one", "two"]
    config = {"ops": {"partitions": {"config": {"remove_many": True}}}}
    assert job.execute_in_process(instance=place.instance, run_config=config).success
    assert keys(place) == []
    check_user_text(place.sensor("catalog_sensor").skip_message)
    place.write(entries)
    place.sensor("catalog_sensor")
    assert keys(place) == ["one", "two"]
    assert place.advance().success
    assert (place.submits("one"), place.submits("two")) == (1, 1)


def test_a_cut_down_catalogue_is_said_by_check_and_status_until_a_person_says_that_it_was_meant(place: Place) -> None:
    place.write(many(14))
    cursor = place.sensor("catalog_sensor").cursor
    place.write(many(1))
    data = place.sensor("catalog_sensor", cursor=cursor)
    [check] = data.asset_events
    assert (check.check_name, check.passed, check.severity) == ("configuration_is_sound", False, WARN)
    check_user_text(check.description)
    quiet = place.sensor("catalog_sensor", cursor=data.cursor)
    assert quiet.asset_events == []
    [needed] = [e for e in place.sensor("alert_sensor").asset_events if e.check_name == "nobody_is_needed"]
    assert (needed.passed, needed.severity, needed.metadata["videos"].value) == (False, WARN, 13)
    check_user_text(needed.description)
    config = {"ops": {"partitions": {"config": {"remove_many": True}}}}
    job = place.defs.resolve_job_def("partitions_job")
    assert job.execute_in_process(instance=place.instance, run_config=config).success
    assert keys(place) == ["v00"]
    [check] = place.sensor("catalog_sensor", cursor=data.cursor).asset_events
    assert check.passed
    assert all(event.passed for event in place.sensor("alert_sensor").asset_events)


@pytest.mark.parametrize(("left", "removed"), [(10, 10), (12, 0)], ids=["few go at once", "most of all are kept"])
def test_most_partitions_never_go_at_once(place: Place, left: int, removed: int) -> None:
    entries = many(15)
    place.write(entries)
    in_line(place)
    place.write(entries[left:])
    now = in_line(place)
    assert (now.removed, now.held) == (removed, left - removed)
    assert len(keys(place)) == 15 - removed
    place.write(entries)
    now = in_line(place)
    assert (now.added, now.held) == (removed, 0)
    assert len(keys(place)) == 15


def test_partitions_that_are_held_stay_held_while_new_videos_are_added(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "KEYS_A_STATEMENT", 10)
    entries = many(45)
    place.write(entries[:15])
    in_line(place)
    place.write(entries[12:])  # a wrong file, to which videos are added
    for added in (10, 10, 10):
        now = in_line(place, until_s=0.0)
        assert (now.added, now.removed, now.held) == (added, 0, 12)
    assert (in_line(place).held, in_line(place, afresh=True).held) == (12, 12)
    place.write([*entries[:1], *entries[3:]])  # ten of them are back
    now = in_line(place)
    assert (now.held, now.removed, len(keys(place))) == (0, 2, 43)


def test_a_catalogue_with_a_mistake_removes_nothing_even_if_entries_left_with_it(place: Place) -> None:
    place.write([video("one"), video("two"), video("three")])
    place.sensor("catalog_sensor")
    place.write([video("one", colour="red")])
    place.sensor("catalog_sensor")
    for broken in ("", "videos: [", "videos:\n- key: one\n"):
        (place.home / "catalog.yaml").write_text(broken)
        check_user_text(place.sensor("catalog_sensor").skip_message)
        assert in_line(place, afresh=True).removed == 0
    (place.home / "catalog.yaml").unlink()
    check_user_text(place.sensor("catalog_sensor").skip_message)
    assert keys(place) == ["one", "three", "two"]


@pytest.mark.parametrize("ticks", ["after each", "after both"])
def test_a_video_that_is_renamed_twice_has_one_partition(place: Place, ticks: str) -> None:
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    for new, old in (("uno", "one"), ("eins", "uno")):
        place.write([{**video("one"), "key": new, "was": old}, video("two")])
        if ticks == "after each":
            place.sensor("catalog_sensor")
        else:
            with place.resource.open() as pipeline:
                declare_catalogue(pipeline)
    if ticks == "after both":
        check_user_text(place.sensor("catalog_sensor").skip_message)
    assert sorted(keys(place)) == ["eins", "two"]


def _lost(*_: object) -> dict[str, str]:
    return {}


def test_a_lost_mark_leaves_no_partition_of_a_key_between(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write([video("one"), video("two")])
    in_line(place)
    place.write([{**video("one"), "key": "uno", "was": "one"}, video("two")])
    in_line(place)
    place.write([{**video("one"), "key": "eins", "was": "uno"}, video("two")])
    with place.resource.open() as pipeline:
        declare_catalogue(pipeline)
    monkeypatch.setattr(type(place.instance.daemon_cursor_storage), "get_cursor_values", _lost)
    assert (in_line(place).removed, sorted(keys(place))) == (1, ["eins", "two"])


def test_a_video_that_is_put_back_meanwhile_keeps_its_partition(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [video("one"), video("two")]
    listing = dg.DagsterInstance.get_dynamic_partitions

    def list_late(instance: dg.DagsterInstance, name: str) -> Sequence[str]:
        place.write(entries)  # after the tick has read the ledger, and before it removes anything
        with place.resource.open() as pipeline:
            declare_catalogue(pipeline)
        return listing(instance, name)

    place.write(entries)
    in_line(place)
    place.write(entries[:1])
    with monkeypatch.context() as patch:
        patch.setattr(dg.DagsterInstance, "get_dynamic_partitions", list_late)
        now = in_line(place)
    assert (now.removed, now.to_remove) == (0, 1)
    assert in_line(place) == InLine(videos=2), "it is listed again"
    assert keys(place) == ["one", "two"]


def test_what_dagster_counts_is_dropped_only_if_a_partition_goes_or_comes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiped: list[str] = []

    def wipe(_: dg.DagsterInstance, assets: Sequence[dg.AssetKey]) -> None:
        wiped.append(keys(place)[-1])

    monkeypatch.setattr(dg.DagsterInstance, "wipe_asset_cached_status", wipe)
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    in_line(place)
    assert place.advance().success
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP), video("three")])
    in_line(place)
    assert wiped == [], "all are new"
    place.write([video("one", extend=ONE_HOP), video("three")])
    in_line(place)
    assert wiped == ["three"], "one has gone"
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP), video("three")])
    in_line(place)
    assert wiped == ["three", "two"], "one has come back"


def test_a_partition_that_was_added_by_hand_stays_and_one_that_was_removed_comes_back(place: Place) -> None:
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    place.instance.add_dynamic_partitions(VIDEOS, ["by-hand"])
    place.instance.delete_dynamic_partition(VIDEOS, "one")
    assert in_line(place, afresh=True).added == 1
    assert sorted(keys(place)) == ["by-hand", "one", "two"]


def test_a_tick_without_time_does_a_part_and_the_next_ones_the_rest(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extend_pipeline.dagster_defs.sensors.work.TICK_S", 0.0)
    monkeypatch.setattr(partitions, "KEYS_A_STATEMENT", 3)
    place.write(many(5))
    check_user_text(place.sensor("catalog_sensor").skip_message)
    check_user_text(place.sensor("catalog_sensor").skip_message)
    place.write(many(1))
    check_user_text(place.sensor("catalog_sensor").skip_message)
    for left in (3, 2, 1):
        assert len(keys(place)) == 1 + left
        place.sensor("catalog_sensor")
    check_user_text(place.sensor("catalog_sensor").skip_message)
    assert keys(place) == ["v00"]


def test_a_tick_that_was_killed_before_its_mark_is_done_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write([video("one")])
    with monkeypatch.context() as patch:
        patch.setattr(type(place.instance.daemon_cursor_storage), "set_cursor_values", _killed)
        with pytest.raises(KeyboardInterrupt):
            in_line(place)
    assert keys(place) == ["one"]
    assert in_line(place) == InLine(videos=1)
    assert in_line(place) == InLine()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_ticks_at_the_same_moment_add_each_partition_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "KEYS_A_STATEMENT", 5)
    place.write(many(60))
    with place.resource.open() as pipeline:
        declare_catalogue(pipeline)
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as place.instance:

        def tick(_: int) -> Sequence[str]:
            place.sensor("catalog_sensor")
            return keys(place)

        with ThreadPoolExecutor(4) as pool:
            for seen in pool.map(tick, range(4)):
                assert len(seen) == 60
        assert keys(place) == [entry["key"] for entry in many(60)]


def test_a_ledger_of_before_removes_nothing(place: Place) -> None:
    ledger = place.home / "state" / "ledger.sqlite"
    entries = [video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)]
    place.write(entries)
    place.sensor("catalog_sensor")
    place.write(entries[1:])
    place.sensor("catalog_sensor")
    shutil.copy(ledger, before := ledger.with_name("before"))
    place.write(entries)
    assert place.advance().success
    shutil.copy(before, ledger)
    assert in_line(place, afresh=True, remove_many=True).removed == 0
    assert sorted(keys(place)) == ["one", "two"]
    unchanged = in_line(place)
    assert (unchanged.videos, unchanged.waiting) == (None, 1), "nothing is listed until the ledger is accepted"
    check_user_text(unchanged.describe(OWN), without={unchanged.blocker: "WHY → TODO"})
    place.write(entries[1:])
    with place.resource.open() as pipeline:
        accept(pipeline.settings, pipeline.ledger, who="test", why="", now_ms=pipeline.now_ms())
    assert (in_line(place).removed, keys(place)) == (1, ["two"])
