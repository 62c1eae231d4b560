"""A new code version is recorded bit by bit, and what names none is left alone while it is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.assets import materializations
from extend_pipeline.dagster_defs.assets.materializations import SOURCE_VIDEOS
from extend_pipeline.dagster_defs.assets.versions import CODE_VERSION_TAG, DATA_VERSION_TAG
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.recording import recorder
from extend_pipeline.dagster_defs.recording.progress import Progress
from extend_pipeline.dagster_defs.recording.recorder import Recorder
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.home import Pipeline
from extend_pipeline_tests.dagster_defs.assets.synced import VIDEOS, unsynced
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place, instance_at
from extend_pipeline_tests.support.home.homes import video

KEYS = ["a", "b", "c"]


@pytest.fixture
def pipeline(place: Place, tmp_path: Path) -> Iterator[Pipeline]:
    """Yield a home with three films that no recorder has seen, over an instance as the webserver needs one."""
    place.write([video(key, extend=ONE_HOP) for key in KEYS])
    with instance_at(tmp_path / "dagster") as place.instance:
        place.sensor("catalog_sensor")
        with place.resource.open() as opened:
            advance_until_idle(opened, max_seconds=20)
            yield opened


def write(place: Place, events: Iterator[dg.AssetMaterialization]) -> list[tuple[str, str | None]]:
    """Store what a recorder yields; return the asset and the partition of each."""
    written = []
    for event in events:
        place.instance.report_runless_asset_event(event)
        written.append((event.asset_key.to_user_string(), event.partition))
    return written


def of_run(place: Place, pipeline: Pipeline) -> list[tuple[str, str | None]]:
    """Let a new recorder do what one does at the end of a run; return what it has written."""
    return write(place, Recorder(place.instance, pipeline, OWN).last_events())


def of_round(place: Place, pipeline: Pipeline) -> list[tuple[str, str | None]]:
    """Let a new recorder do what one does with a round, and kill it; return what it has written."""
    return write(place, Recorder(place.instance, pipeline, OWN).pending_events())


def record_as_before(place: Place, pipeline: Pipeline) -> None:
    """Record everything as this package did before materializations named their code version and inputs."""

    def bare_tags(data_version: str, _code_version: str, _inputs: Mapping[str, str]) -> dict[str, str]:
        return {DATA_VERSION_TAG: data_version, "dagster/data_version_is_user_provided": "true"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(materializations, "version_tags", bare_tags)
        patch.setattr(Progress, "keep_compared", lambda *_: None)
        assert len(of_run(place, pipeline)) == 9


def test_what_names_no_code_version_is_synced_and_left_alone(place: Place, pipeline: Pipeline) -> None:
    record_as_before(place, pipeline)
    assert unsynced(place.instance, KEYS).keys().isdisjoint(f"{asset}/{key}" for asset in VIDEOS for key in KEYS)
    assert of_run(place, pipeline) == []


def test_of_what_names_no_code_version_only_what_is_behind_is_recorded_again(place: Place, pipeline: Pipeline) -> None:
    record_as_before(place, pipeline)
    newer = place.latest("source_videos", "b")
    assert newer is not None
    place.instance.report_runless_asset_event(newer)
    assert unsynced(place.instance, KEYS)["extension_requests/b"] == "DATA"
    assert of_run(place, pipeline) == [("extension_requests", "b"), ("completed_extensions", "b")]
    assert not [name for name in unsynced(place.instance, KEYS) if "/" in name]
    assert of_run(place, pipeline) == []


def test_a_new_code_version_is_recorded_a_few_videos_at_a_time_and_goes_on_after_a_kill(
    place: Place, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(of_run(place, pipeline)) == 9
    for module in (materializations, recorder):
        monkeypatch.setattr(module, "VIDEOS_CODE_VERSION", "2")
    monkeypatch.setattr(recorder, "CHUNK", 1)
    monkeypatch.setattr(recorder, "COMPARE_S", 0.0)
    assert of_round(place, pipeline) == [(asset, "a") for asset in VIDEOS]
    newer = place.latest("source_videos", "c")
    assert newer is not None
    tags = {**(newer.tags or {}), CODE_VERSION_TAG: "2"}
    # as a change of the entry does it meanwhile
    place.instance.report_runless_asset_event(
        dg.AssetMaterialization(SOURCE_VIDEOS, partition="c", metadata=newer.metadata, tags=tags)
    )
    assert of_run(place, pipeline) == [(asset, "b") for asset in VIDEOS], "a run's end has no time for more"
    assert of_round(place, pipeline) == [(asset, "c") for asset in VIDEOS[1:]]
    for _ in range(2):
        assert of_round(place, pipeline) == []
    assert of_run(place, pipeline) == []
