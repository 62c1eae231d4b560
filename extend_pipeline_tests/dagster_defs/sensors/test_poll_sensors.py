"""Poll sensors over consecutive ticks: one run for all due work, and what holds them up."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Final

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.sensors.work import build_poll_sensor
from extend_pipeline.ledger.read import queries
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import account, video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

EVENT_TYPES: Final = {
    dg.DagsterRunStatus.STARTING: dg.DagsterEventType.RUN_STARTING,
    dg.DagsterRunStatus.STARTED: dg.DagsterEventType.RUN_START,
    dg.DagsterRunStatus.FAILURE: dg.DagsterEventType.RUN_FAILURE,
}


def test_sensors_skip_while_there_are_no_accounts(place: Place) -> None:
    for name in ("catalog_sensor", "kling_poll_sensor"):
        tick = place.sensor(name)
        assert not tick.run_requests
        check_user_text(tick.skip_message)


def test_a_poll_sensor_requests_one_run_over_many_ticks_with_due_work(place: Place) -> None:
    place.write([video("one"), video("two"), video("three")])
    place.sensor("catalog_sensor")
    first = place.sensor("kling_poll_sensor")
    assert len(first.run_requests) == 1
    assert first.run_requests[0].run_key is None
    run = place.queue()
    for status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED):
        if status is not dg.DagsterRunStatus.QUEUED:
            _move(place, run, status)
        for _ in range(2):
            tick = place.sensor("kling_poll_sensor")
            assert tick.run_requests == []
            assert run.run_id in tick.skip_message
    _move(place, run, dg.DagsterRunStatus.FAILURE)
    assert len(place.sensor("kling_poll_sensor").run_requests) == 1


def test_no_run_buys_or_is_requested_while_films_can_not_be_written(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    media = place.home / "state" / "media"
    media.write_text("")
    assert place.advance().success
    assert place.sensor("kling_poll_sensor").run_requests == []
    assert not place.materialise("extension_requests", keys=["one"]).success
    assert place.submits("one") == 0
    media.unlink()
    assert len(place.sensor("kling_poll_sensor").run_requests) == 1
    assert place.advance().success
    assert place.submits("one") == 1


def test_a_poll_sensor_records_task_states_and_requests_a_run_to_fetch_results(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    place.materialise("extension_requests", keys=["one"])
    tick = place.sensor("kling_poll_sensor")
    (request,) = tick.run_requests
    check_user_text(request.tags["extend_pipeline/asked_by"])
    with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
        assert [row.state for row in queries.attempts_of(connection, ["one"])] == ["succeeded"]
    assert place.advance().success
    check_user_text(place.sensor("kling_poll_sensor").skip_message)


def test_a_blocked_video_requests_one_run_and_no_more(place: Place) -> None:
    expired = video("old")
    expired["source"] = {**expired["source"], "created_at": "2020-01-01T00:00:00Z"}
    place.write([expired])
    place.sensor("catalog_sensor")
    assert len(place.sensor("kling_poll_sensor").run_requests) == 1, "its state has to be reported once"
    place.advance()
    for _ in range(3):
        tick = place.sensor("kling_poll_sensor")
        assert not tick.run_requests
        check_user_text(tick.skip_message)


def test_a_tick_ends_at_its_deadline_and_the_next_polls_the_remaining_accounts(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_MAX_POLLS", "1")  # so that the order of the accounts is known
    names = ["k1", "k2"]
    entries = [place.owned(video(f"of-{name}", account=name, extend=ONE_HOP)) for name in names]
    place.plant(entries)
    url = place.sandbox.base_url
    rhythm = {"first_after": 0, "every": 30}
    write_home(place.home, url, entries, accounts=[account(url, name=name, poll=rhythm) for name in names])
    place.sensor("catalog_sensor")
    place.materialise("extension_requests", keys=[entry["key"] for entry in entries])
    # the tick's start, before the first account, before its first part, before the second account
    moments = iter([0.0, 1.0, 2.0, 99.0])
    sensor = build_poll_sensor(OWN, "kling", clock=lambda: next(moments), tick_s=40)
    with dg.build_sensor_context(instance=place.instance, resources={"home": place.resource}) as context:
        sensor.evaluate_tick(context)
    with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
        states = sorted(row.state for row in queries.attempts_of(connection, [entry["key"] for entry in entries]))
    assert states == ["submitted", "succeeded"]
    place.sensor("kling_poll_sensor")
    with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
        assert {row.state for row in queries.attempts_of(connection, [entry["key"] for entry in entries])} == {
            "succeeded"
        }


def test_an_account_that_does_not_reply_costs_no_other_its_tick_and_is_asked_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_GET_DEADLINE_S", "0.5")
    names = ["silent", "whole"]
    entries = [place.owned(video(f"of-{name}", account=name, extend=ONE_HOP)) for name in names]
    place.plant(entries)
    url, rhythm = place.sandbox.base_url, {"first_after": 0, "every": 30}
    write_home(place.home, url, entries, accounts=[account(url, name=name, poll=rhythm) for name in names])
    place.sensor("catalog_sensor")
    place.materialise("extension_requests", keys=[entry["key"] for entry in entries])
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        silent = account(f"http://127.0.0.1:{server.getsockname()[1]}", name="silent", poll=rhythm)
        write_home(place.home, url, entries, accounts=[silent, account(url, name="whole", poll=rhythm)])
        place.sensor("kling_poll_sensor")
        with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
            states = {row.account: row.state for row in queries.attempts_of(connection, [e["key"] for e in entries])}
            contacts = queries.contacts(connection)
        assert states == {"silent": "submitted", "whole": "succeeded"}
        assert (contacts["silent"].silences, contacts["whole"].silences) == (1, 0)
        place.sensor("kling_poll_sensor")  # too early to ask again
        with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
            assert queries.contacts(connection)["silent"] == contacts["silent"]


def _move(place: Place, run: dg.DagsterRun, status: dg.DagsterRunStatus) -> None:
    """Bring a run to a status by the event for it."""
    event = dg.DagsterEvent(event_type_value=EVENT_TYPES[status].value, job_name="advance_job")
    place.instance.report_dagster_event(event, run_id=run.run_id)


def test_paid_results_are_fetched_while_files_are_invalid_or_missing(place: Place) -> None:
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    place.materialise("extension_requests", keys=["one"])
    for name in ("accounts.yaml", "catalog.yaml"):
        (place.home / name).rename(place.home / f"{name}.kept")
    tick = place.sensor("catalog_sensor")
    assert tick.skip_message.startswith("2 mistakes ")
    assert [(check.check_name, check.passed) for check in tick.asset_events] == [("configuration_is_sound", False)]
    again = place.sensor("catalog_sensor", cursor=tick.cursor)
    assert again.skip_message == tick.skip_message
    assert again.asset_events == [], "an outcome is reported once"
    broken = again.cursor
    tick = place.sensor("kling_poll_sensor")
    [request] = tick.run_requests
    check_user_text(request.tags["extend_pipeline/asked_by"])
    run = place.advance()
    assert run.success
    failed = {check.check_name for check in run.get_asset_check_evaluations() if not check.passed}
    assert failed == {"configuration_is_sound", "nobody_is_needed"}
    assert place.latest("completed_extensions", "one") is not None
    assert (place.submits("one"), place.submits("two")) == (1, 0)
    assert not place.materialise("completed_extensions", keys=["one"], max_seconds=1).success
    for name in ("retention_sensor", "doubt_sensor"):
        assert not place.sensor(name).run_requests
    with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
        assert {row.state for row in queries.videos(connection)}.isdisjoint({"withdrawn"})
    for name in ("accounts.yaml", "catalog.yaml"):
        (place.home / f"{name}.kept").rename(place.home / name)
    tick = place.sensor("catalog_sensor", cursor=broken)
    check_user_text(tick.skip_message)
    assert [(check.check_name, check.passed) for check in tick.asset_events] == [("configuration_is_sound", True)]
    assert place.sensor("catalog_sensor", cursor=tick.cursor).asset_events == []
    assert place.sensor("kling_poll_sensor").run_requests
