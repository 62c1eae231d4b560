"""Consecutive ticks: partitions from the catalogue, one run for all due work, and every mistake reported."""

from __future__ import annotations

import socket
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.checks.ledger import CONFIGURATION_IS_VALID
from extend_pipeline.dagster_defs.jobs.schedules import build_nightly_backfill_schedule
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.sensors.work import build_poll_sensor
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import account, video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

EVENT_TYPES: Final = {
    dg.DagsterRunStatus.STARTING: dg.DagsterEventType.RUN_STARTING,
    dg.DagsterRunStatus.STARTED: dg.DagsterEventType.RUN_START,
    dg.DagsterRunStatus.FAILURE: dg.DagsterEventType.RUN_FAILURE,
}


def _planned(place: Place) -> tuple[VideoPlan, ...]:
    """Return the plans of a home's videos."""
    with place.resource.open() as pipeline:
        return plan(plan_input(pipeline)).videos


def test_sensors_skip_while_there_are_no_accounts(place: Place) -> None:
    for name in ("catalog_sensor", "kling_poll_sensor"):
        tick = place.sensor(name)
        assert not tick.run_requests
        check_user_text(tick.skip_message)


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


def test_edits_are_decided_in_dagster_too(place: Place) -> None:
    place.write([video("one")])
    place.advance()
    place.write([video("one", extend={"steps": 2, "prompt": "the fog lifts."})])
    place.advance()
    assert [entry.edit is not None for entry in _planned(place)] == [True]
    job = place.defs.resolve_job_def("approve_job")
    config = {"ops": {"approve": {"config": {"decision": "keep", "videos": ["one"]}}}}
    assert job.execute_in_process(instance=place.instance, run_config=config).success
    assert [entry.state for entry in _planned(place)] == [VideoState.COMPLETE]
    assert place.submits("one") == 1


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


def test_the_nightly_backfill_requests_one_run_while_a_video_is_unfinished(place: Place, tmp_path: Path) -> None:
    night = datetime(2026, 11, 22, 0, 5, tzinfo=UTC)

    def evaluate() -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(
            instance=instance, scheduled_execution_time=night, resources={"home": place.resource}
        ) as context:
            outcome = build_nightly_backfill_schedule(OWN, "UTC")(context)
        assert isinstance(outcome, dg.RunRequest | dg.SkipReason)
        return outcome

    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        request = evaluate()
        assert isinstance(request, dg.RunRequest)
        assert request.run_key == "nightly-2026-11-22"
        job = place.defs.resolve_job_def("advance_job")
        result = job.execute_in_process(run_config=request.run_config, instance=instance)
        assert result.success
        skipped = evaluate()
        assert isinstance(skipped, dg.SkipReason)
        check_user_text(skipped.skip_message or "")


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
