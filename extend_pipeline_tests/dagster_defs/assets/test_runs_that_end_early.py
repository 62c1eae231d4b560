"""A run by hand that ends by an error or a cancellation records what was done, and one over spoilt entries does too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from extend_pipeline.dagster_defs.assets import extend
from extend_pipeline.dagster_defs.assets.materializations import PartitionWriter
from extend_pipeline.engine.guards.disk_space import DiskError
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

VIDEOS = ("source_videos", "extension_requests", "completed_extensions")


def ending_with(error: BaseException) -> Callable[..., Any]:
    """Return the drive, with an error at its end."""

    def drive(*arguments: Any, **named: Any) -> Any:
        done = advance_until_idle(*arguments, **named)
        assert done.videos
        raise error

    advance_until_idle = extend.advance_until_idle
    return drive


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return the texts of a failed run."""
    data = result.failure_data_for_node("extend_videos")
    assert data is not None
    if data.user_failure_data is not None:
        return str(data.user_failure_data.description)
    return str(data.error)


def test_an_error_at_the_end_of_the_drive_loses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    monkeypatch.setattr(extend, "advance_until_idle", ending_with(DiskError(28, "full-media")))
    result = place.materialise("completed_extensions", keys=["one"])
    assert not result.success
    assert "full-media" in failure(result)
    assert [place.count(asset) for asset in VIDEOS] == [1, 1, 1]


def test_a_cancelled_run_has_recorded_what_was_done(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    monkeypatch.setattr(extend, "advance_until_idle", ending_with(DagsterExecutionInterruptedError()))
    assert not place.materialise(*VIDEOS, keys=["one"]).success
    assert [place.count(asset) for asset in VIDEOS] == [1, 1, 1]


def test_the_first_error_is_reported_where_nothing_can_be_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "full-dagster")

    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    monkeypatch.setattr(extend, "advance_until_idle", ending_with(DiskError(28, "full-media")))
    monkeypatch.setattr(PartitionWriter, "record", full)
    text = failure(place.materialise("completed_extensions", keys=["one"]))
    assert "full-media" in text
    assert "full-dagster" not in text


def test_a_film_whose_entry_was_spoilt_since_is_recorded_and_not_called_missing(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    assert place.materialise("completed_extensions", keys=["one"], max_seconds=20).success
    assert place.materialise("extension_requests", keys=["two"]).success
    spoilt = {"steps": 0, "prompt": "x"}
    place.write([video("one", extend=spoilt), video("two", extend=spoilt)])
    result = place.materialise("completed_extensions", keys=["one", "two"], max_seconds=20)
    assert not result.success
    check_user_text(failure(result))
    assert place.count("completed_extensions") == 2
    request = place.latest("extension_requests", "two")
    assert request is not None
    assert request.metadata["state"].value == "succeeded"
