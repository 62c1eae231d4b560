"""Tables and partitions read "Synced" after a good run, and "Unsynced" while something above has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, event

from extend_pipeline.dagster_defs.assets import materializations, tables
from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS
from extend_pipeline.dagster_defs.assets.versions import table_inputs
from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.recording import recorder
from extend_pipeline.dagster_defs.recording.recorder import Recorder
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.sandbox import running_sandbox
from extend_pipeline_tests.dagster_defs.assets.synced import TABLES, unsynced
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, SMALL, Place, instance_at, open_place
from extend_pipeline_tests.support.home.homes import video

ONE_BY_ONE = """
event_log_storage:
  module: dagster._core.storage.event_log
  class: ConsolidatedSqliteEventLogStorage
  config: {base_dir: %s}
"""


@pytest.fixture(params=["one by one", "in batches"])
def either(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Yield a place whose materializations Dagster stores one by one, and one whose go into its files in batches."""
    folder = tmp_path / "dagster"
    storage = ONE_BY_ONE % json.dumps(str(folder)) if request.param == "one by one" else ""
    with instance_at(folder, storage) as place.instance:
        yield place


def keys_of(place: Place) -> list[str]:
    return list(place.instance.get_dynamic_partitions("videos"))


def test_complete_and_blocked_videos_and_the_tables_are_synced_after_a_run(either: Place) -> None:
    expired = video("expired")
    expired["source"] = {**expired["source"], "created_at": "2020-01-01T00:00:00Z"}
    either.write([expired, *(video(f"v{n}", extend=ONE_HOP) for n in range(3)), video("two-hops")])
    either.sensor("catalog_sensor")
    assert either.advance().success
    missing = {"extension_requests/expired": "MISSING", "completed_extensions/expired": "MISSING"}
    assert unsynced(either.instance, keys_of(either)) == missing
    before = [either.count(asset) for asset in (*TABLES, "completed_extensions", "extension_requests")]
    assert either.advance().success
    assert unsynced(either.instance, keys_of(either)) == missing
    assert [either.count(asset) for asset in (*TABLES, "completed_extensions", "extension_requests")] == before


def test_a_video_on_its_way_is_synced(either: Place) -> None:
    either.write([video("one", extend=ONE_HOP)])
    assert either.advance().success
    # the second hop is at the provider for longer than the run lingers
    either.write([video("one", extend={"steps": 2, "prompt": "x"})], poll={"first_after": 900, "every": 900})
    assert either.advance().success
    request = either.latest("extension_requests", "one")
    assert request is not None
    assert request.metadata["state"].value == "submitted"
    for name in ("catalog_sensor", "retention_sensor", "doubt_sensor", "kling_poll_sensor"):
        either.sensor(name)
    assert unsynced(either.instance, ["one"]) == {}


def test_a_video_whose_second_hop_failed_is_synced(tmp_path: Path) -> None:
    with (
        running_sandbox(tmp_path / "sandbox", SMALL) as sandbox,
        open_place(tmp_path / "home", sandbox) as place,
        instance_at(tmp_path / "dagster") as place.instance,
    ):
        place.write([video("one", extend=ONE_HOP)])
        assert place.advance().success
        sandbox.faults([{"kind": "fail_task", "where": "submit"}])
        place.write([video("one", extend={"steps": 2, "prompt": "x"})])
        assert place.advance().success
        request = place.latest("extension_requests", "one")
        assert request is not None
        assert request.metadata["state"].value == "failed"
        assert unsynced(place.instance, ["one"]) == {}


def test_runs_by_hand_leave_partitions_and_tables_synced(either: Place) -> None:
    either.write([video("one"), video("two")])
    either.sensor("catalog_sensor")
    either.materialise("completed_extensions", keys=["one"])
    assert unsynced(either.instance, ["one"]) == dict.fromkeys(TABLES, "MISSING")
    job = either.defs.resolve_implicit_global_asset_job_def()
    chosen = [dg.AssetKey(name) for name in TABLES]
    assert job.execute_in_process(asset_selection=chosen, instance=either.instance).success
    assert unsynced(either.instance, ["one"]) == {}
    either.materialise("completed_extensions", keys=["two"])
    assert {unsynced(either.instance, []).get(name) for name in TABLES} == {"DATA"}
    assert either.advance().success
    assert unsynced(either.instance, ["one", "two"]) == {}
    longer = video("one", extend={"steps": 3, "prompt": "the fog lifts"})
    either.write([longer, video("two")], poll={"first_after": 900, "every": 900})
    either.materialise("source_videos", keys=["one"])
    assert unsynced(either.instance, ["one"]) == {"extension_requests/one": "DATA"}
    assert either.advance().success
    assert unsynced(either.instance, ["one", "two"]) == {}


def test_a_run_that_changes_nothing_leaves_a_table_synced_that_was_published_before_its_input(either: Place) -> None:
    """The file had everything already, but Dagster learnt of the partition after it had learnt of the tables."""
    either.write([video("one", extend=ONE_HOP)])
    assert either.advance().success
    either.write([video("one", extend=ONE_HOP), video("cli", extend=ONE_HOP)])
    with either.resource.open() as pipeline:
        advance_until_idle(pipeline, max_seconds=20)
    either.sensor("catalog_sensor")
    job = either.defs.resolve_implicit_global_asset_job_def()
    chosen = [dg.AssetKey(name) for name in TABLES]
    assert job.execute_in_process(asset_selection=chosen, instance=either.instance).success
    with either.resource.open() as pipeline:
        for done in Recorder(either.instance, pipeline, OWN).pending_events():
            either.instance.report_runless_asset_event(done)
    assert set(unsynced(either.instance, ["one"])) == set(TABLES)
    assert either.advance().success
    assert unsynced(either.instance, ["one", "cli"]) == {}


def test_a_new_code_version_is_recorded_by_the_next_run(either: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    either.write([video("one", extend=ONE_HOP)])
    assert either.advance().success
    for module in (materializations, recorder):
        monkeypatch.setattr(module, "VIDEOS_CODE_VERSION", "another")
    monkeypatch.setattr(tables, "tables_code_version", lambda: "another")
    assert either.advance().success
    assert set(unsynced(either.instance, ["one"]).values()) == {"CODE"}
    monkeypatch.undo()
    assert either.advance().success
    assert unsynced(either.instance, ["one"]) == {}


def test_what_a_killed_run_left_behind_is_recorded_by_the_next(either: Place) -> None:
    either.write([video("one", extend=ONE_HOP)])
    assert either.advance().success
    either.write([video("one", extend={"steps": 2, "prompt": "x"})])
    with either.resource.open() as pipeline:
        advance(pipeline)
        for done in Recorder(either.instance, pipeline, OWN).pending_events():  # it never comes to its last events
            either.instance.report_runless_asset_event(done)
    assert unsynced(either.instance, ["one"])["completed_extensions/one"] == "DATA"
    either.write([video("one", extend={"steps": 2, "prompt": "x"})], poll={"first_after": 900, "every": 900})
    with either.resource.open() as pipeline:
        for done in Recorder(either.instance, pipeline, OWN).last_events():
            either.instance.report_runless_asset_event(done)
    assert unsynced(either.instance, ["one"]).keys() <= set(TABLES)


def test_two_hundred_partitions_are_as_cheap_as_five_and_as_synced(either: Place) -> None:
    old = {"created_at": "2020-01-01T00:00:00Z"}
    expired = [video(f"old-{n}") for n in range(200)]
    for entry in expired:
        entry["source"] = {**entry["source"], **old}
    either.write([video("one", extend=ONE_HOP), *expired[:4]])
    assert either.advance().success
    costs = [_statements(either)]
    either.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP), *expired])
    assert either.advance().success
    costs.append(_statements(either))
    assert costs[0] == costs[1] <= 4
    assert len(keys_of(either)) == 202
    assert unsynced(either.instance, ["one", "two"]) == {}
    assert {unsynced(either.instance, ["old-199"])[name] for name in MISSING} == {"MISSING"}
    assert either.advance().success
    assert unsynced(either.instance, ["one", "two"]) == {}


MISSING = ("extension_requests/old-199", "completed_extensions/old-199")


def _statements(place: Place) -> int:
    """Return how many statements a run sends to Dagster's storage to know a table's input."""
    sent: list[str] = []

    def note(_c: object, _cursor: object, text: str, *_: object) -> None:
        if not text.startswith("PRAGMA"):
            sent.append(text)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        tags = table_inputs(place.instance, COMPLETED_EXTENSIONS)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(tags) == 2
    return len(sent)


def test_a_table_is_published_again_by_itself_when_its_schema_has_changed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write([video("one", extend=ONE_HOP)])
    assert place.advance().success
    selection = dg.AssetSelection.assets(*TABLES)
    first = dg.evaluate_automation_conditions(place.defs, place.instance, asset_selection=selection)
    assert first.total_requested == 0
    monkeypatch.setattr(tables, "tables_code_version", lambda: "another")
    newer = build_mounted(OWN, place.resource)
    second = dg.evaluate_automation_conditions(newer, place.instance, asset_selection=selection, cursor=first.cursor)
    assert second.total_requested == 3
