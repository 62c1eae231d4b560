"""A run of advance_job keeps the partitions in line: after it has recorded what changed, and for seconds a round."""

from __future__ import annotations

import time
from typing import Any

import pytest

from extend_pipeline.dagster_defs.assets import materializations
from extend_pipeline.dagster_defs.jobs import advance
from extend_pipeline.dagster_defs.mount import VIDEOS
from extend_pipeline.dagster_defs.partitions import InLine, bring_in_line
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video


def test_videos_that_left_are_recorded_before_their_partitions_go(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materializations, "CHUNK", 1)
    entries = [video(key, extend=ONE_HOP) for key in ("one", "two", "three")]
    place.write(entries)
    with place.resource.open() as pipeline:
        advance_until_idle(pipeline, max_seconds=30)  # on the command line, so that Dagster has no record
    place.sensor("catalog_sensor")
    place.write(entries[2:])
    with place.resource.open() as pipeline:
        declare_catalogue(pipeline)
    assert place.advance().success
    assert [place.latest("completed_extensions", key) is not None for key in ("one", "two", "three")] == [True] * 3
    assert place.instance.get_dynamic_partitions(VIDEOS) == ["three"]


def test_partitions_have_some_seconds_of_a_round(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []

    def bring(*args: Any, until_s: float = float("inf"), **choices: Any) -> InLine:
        seconds.append(until_s - time.monotonic())
        return bring_in_line(*args, until_s=until_s, **choices)

    monkeypatch.setattr(advance, "bring_in_line", bring)
    place.write([video("one", extend=ONE_HOP)])
    assert place.advance().success
    assert len(seconds) >= 2
    assert max(seconds) <= advance.PARTITIONS_S
