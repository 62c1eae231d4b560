"""Dagster keeps what a tick logs in a file, for ever; the tick's text and the tags of its run go with the tick."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.sensors.one_request import may_request
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video


@pytest.fixture
def dagster_home(tmp_path: Path) -> Path:
    """Return an empty folder."""
    (folder := tmp_path / "dagster").mkdir()
    return folder


def tick(place: Place, name: str, cursor: str | None) -> Any:
    """Evaluate a tick as Dagster's daemon does, with a place for its log; return its SensorExecutionData."""
    with dg.build_sensor_context(
        instance=place.instance,
        instance_ref=place.instance.get_ref() if place.instance.is_persistent else None,
        resources={place.mount.home_key: place.resource},
        definitions=place.defs,
        cursor=cursor,
        repository_name="__repository__",
        sensor_name=name,
    ) as context:
        return place.defs.get_repository_def().get_sensor_def(name).evaluate_tick(context)


@pytest.mark.parametrize("extend", [ONE_HOP, {**ONE_HOP, "colour": "red"}])
def test_a_tick_that_says_the_same_as_the_one_before_leaves_no_file(
    place: Place, dagster_home: Path, extend: dict[str, Any]
) -> None:
    place.write([video("one", extend=ONE_HOP)])
    names = [
        sensor.name
        for sensor in place.defs.get_repository_def().sensor_defs
        if not isinstance(sensor, dg.AutomationConditionSensorDefinition)
    ]
    assert {"kling_poll_sensor", "catalog_sensor", "retention_sensor", "alert_sensor"} <= set(names)
    with dg.DagsterInstance.local_temp(str(dagster_home)) as place.instance:
        assert place.advance().success
        place.write([video("one", extend=extend)])
        cursors = {name: tick(place, name, None).cursor for name in names}
        assert [name for name in names if tick(place, name, cursors[name]).log_key is not None] == []


def test_a_tick_that_requests_a_run_leaves_no_file(place: Place, dagster_home: Path) -> None:
    place.write([video("one")])
    with dg.DagsterInstance.local_temp(str(dagster_home)) as place.instance:
        requested = tick(place, "kling_poll_sensor", None)
    assert len(requested.run_requests) == 1
    assert requested.log_key is None


def test_a_tick_that_requests_none_says_what_is_wrong_in_the_files(place: Place) -> None:
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    place.materialise("extension_requests", keys=["one"])
    place.write([video("one", extend={**ONE_HOP, "colour": "red"}), video("two")])
    assert may_request(place.instance, OWN, "vidu", now_s=time.time())
    skipped = tick(place, "kling_poll_sensor", None)
    assert skipped.run_requests == []
    assert "catalog.yaml:" in skipped.skip_message
