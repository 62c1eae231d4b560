"""Work that no run has recorded in Dagster asks for one, after some minutes and not again and again."""

from __future__ import annotations

import pytest

from extend_pipeline.dagster_defs.assets.materializations import PARTITIONED
from extend_pipeline.dagster_defs.mount import OWN, Mount
from extend_pipeline.dagster_defs.recording.progress import Progress
from extend_pipeline.dagster_defs.recording.recorder import Recorder
from extend_pipeline.dagster_defs.sensors import unrecorded as module
from extend_pipeline.dagster_defs.sensors.unrecorded import unrecorded
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


def work_in_a_shell(place: Place, *keys: str) -> None:
    """Extend videos as the command line does."""
    place.write([video(key, extend=ONE_HOP) for key in keys])
    with place.resource.open() as pipeline:
        advance_until_idle(pipeline, max_seconds=20)


def record(place: Place, mount: Mount = OWN) -> None:
    """Record everything, as a run does, without one."""
    with place.resource.open() as pipeline:
        for event in Recorder(place.instance, pipeline, mount).last_events():
            place.instance.report_runless_asset_event(event)


def test_work_of_the_command_line_asks_for_one_run_after_some_minutes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in_a_shell(place, "one")
    record(place)
    work_in_a_shell(place, "one", "two")
    assert place.sensor("kling_poll_sensor").run_requests == []
    monkeypatch.setattr(module, "WAIT_S", 0.0)
    [request] = place.sensor("kling_poll_sensor").run_requests
    check_user_text(request.tags["extend_pipeline/asked_by"])
    record(place)
    assert place.sensor("kling_poll_sensor").run_requests == []


def test_a_run_that_has_recorded_nothing_is_not_repeated_with_the_next_tick(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in_a_shell(place, "one")
    assert len(place.sensor("kling_poll_sensor").run_requests) == 1
    run = place.instance.create_run_for_job(place.defs.resolve_job_def("advance_job"))
    place.instance.report_run_failed(run)
    assert place.sensor("kling_poll_sensor").run_requests == []
    monkeypatch.setattr(module, "WAIT_S", 0.0)
    assert len(place.sensor("kling_poll_sensor").run_requests) == 1


def test_each_mount_and_a_ledger_that_was_put_back_have_a_number_of_their_own(place: Place) -> None:
    clips = Mount.model_validate({"key_prefix": "clips"})
    work_in_a_shell(place, "one")
    record(place)
    with place.resource.open() as pipeline:
        assert unrecorded(place.instance, pipeline, OWN) == ""
        assert unrecorded(place.instance, pipeline, clips)
        with pipeline.ledger.read() as connection:
            Progress.of(place.instance, OWN, connection).keep_recorded(connection, 1_000_000, PARTITIONED)
        assert unrecorded(place.instance, pipeline, OWN)
    record(place)
    with place.resource.open() as pipeline:
        assert unrecorded(place.instance, pipeline, OWN) == ""
