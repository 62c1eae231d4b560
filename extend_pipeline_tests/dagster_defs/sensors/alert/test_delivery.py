"""When receivers of alerts get a message over several ticks of alert_sensor: a real webhook and a real command."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.sensors.alert import CLOSED_S, STATE_KEY
from extend_pipeline.engine.decisions import resolve
from extend_pipeline_tests.dagster_defs.sensors.alert.conftest import (
    HOUR,
    MINUTE,
    SECRET,
    SIGNING_SECRET,
    Ticks,
    shown,
)
from extend_pipeline_tests.support.home.homes import ACCESS_ENV, SECRET_ENV, video
from extend_pipeline_tests.support.servers.receiver import Script
from extend_pipeline_tests.support.user_texts import check_user_text

ERROR = dg.AssetCheckSeverity.ERROR


def test_each_thing_is_sent_once_again_after_a_day_and_when_it_is_over(ticks: Ticks) -> None:
    ticks.write()
    ticks.stop()
    check_user_text(ticks.tick().skip_message)
    for _ in range(3):
        ticks.tick(HOUR)
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert"]
    ticks.tick(24 * HOUR)
    ticks.stop(resume=True)
    ticks.tick()
    assert ticks.last["kind"] == "reminder", "it may come back in a minute"
    ticks.tick(10 * MINUTE)
    ticks.tick()
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert", "reminder", "all_clear"]
    assert (ticks.last["waits"], ticks.last["waiting"]) == (0, [])
    check_user_text(ticks.last["text"])


def test_an_account_that_stops_again_after_a_person_has_resumed_it_is_reported_within_minutes(ticks: Ticks) -> None:
    ticks.write()
    ticks.stop()
    ticks.tick()
    ticks.stop(resume=True)
    ticks.stop()
    assert ticks.checks(ticks.tick(2 * MINUTE))["nobody_is_needed"].severity is ERROR
    ticks.stop(resume=True)
    ticks.tick()
    ticks.stop()
    ticks.tick(2 * MINUTE)
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert"] * 3


def test_a_corrected_address_gets_all_that_waits(ticks: Ticks) -> None:
    ticks.write()
    ticks.stop()
    ticks.tick()
    ticks.configure({"webhook": f"{ticks.receiver.url}/corrected", "secret_env": SECRET, "allow_local": True})
    ticks.tick()
    first, second = ticks.receiver.messages
    assert first["waiting"] == second["waiting"]


def test_a_refused_delivery_is_said_by_the_tick_and_repeated_with_its_id(ticks: Ticks) -> None:
    ticks.write()
    ticks.stop()
    ticks.receiver.script = Script(500, body=b"try later")
    check_user_text(ticks.tick().skip_message)
    key = f"{STATE_KEY}/all/webhook"
    state = ticks.place.instance.daemon_cursor_storage.get_cursor_values({key})[key]
    assert ticks.receiver.url not in state
    assert SIGNING_SECRET.removeprefix("whsec_") not in state
    ticks.stop(resume=True)  # over before it was delivered: both are sent
    ticks.receiver.script = Script(200)
    for _ in range(14):
        ticks.tick()
    first, again, end = ticks.receiver.requests
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"] != end.headers["webhook-id"]
    assert end.message["kind"] == "all_clear"


def test_a_missing_secret_holds_nothing_else_up(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks.write()
    monkeypatch.delenv(SECRET)
    ticks.stop()
    data = ticks.tick()
    assert ticks.checks(data)["nobody_is_needed"].severity is ERROR
    check_user_text(data.skip_message)
    assert ticks.receiver.requests == []
    monkeypatch.setenv(SECRET, SIGNING_SECRET)
    ticks.tick()
    assert ticks.last["kind"] == "alert"


def test_only_urgent_things_where_warnings_are_off(own_ticks: Ticks) -> None:
    own_ticks.write(
        video("one"),
        alerts={"webhook": own_ticks.receiver.url, "allow_local": True, "warnings": False},
        submit_class="C",
    )
    own_ticks.place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    own_ticks.advance()
    assert not own_ticks.checks(own_ticks.tick())["nobody_is_needed"].passed
    assert own_ticks.receiver.requests == []
    own_ticks.tick(2 * HOUR)
    assert [message["urgent"] for message in own_ticks.receiver.messages] == [1]
    with own_ticks.place.resource.open() as pipeline:
        assert isinstance(resolve.write_off(pipeline, "one/1", who="t", why="t"), resolve.Resolved)
    own_ticks.tick(10 * MINUTE)
    assert [message["kind"] for message in own_ticks.receiver.messages] == ["alert", "all_clear"]


def test_a_command_and_a_webhook_each_get_everything_for_themselves(ticks: Ticks, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text(
        "import json, os, pathlib, sys\n"
        "message = json.load(sys.stdin)\n"
        f"message['keys'] = [os.environ.get(name) for name in ({ACCESS_ENV!r}, {SECRET_ENV!r}, {SECRET!r})]\n"
        "pathlib.Path(sys.argv[1], message['id']).write_text(json.dumps(message))\n"
        "print('paged')\n"
    )
    got = tmp_path / "got"
    got.mkdir()
    ticks.write(
        alerts={
            "command": [sys.executable, str(script), str(got)],
            "webhook": ticks.receiver.url,
            "secret_env": SECRET,
            "allow_local": True,
        },
    )
    ticks.stop()
    ticks.receiver.script = Script(500)
    data = ticks.tick()
    check_user_text(data.skip_message, without={sys.executable: "PYTHON"})
    (paged,) = (json.loads(path.read_text()) for path in got.iterdir())
    assert (paged["kind"], paged["urgent"], paged["keys"]) == ("alert", 1, [None, None, None])
    ticks.stop(resume=True)
    ticks.tick(10 * MINUTE)
    assert sorted(json.loads(path.read_text())["kind"] for path in got.iterdir()) == ["alert", "all_clear"]


def test_a_receiver_that_is_no_longer_named_is_forgotten(ticks: Ticks) -> None:
    ticks.write()
    ticks.stop()
    ticks.tick()
    section = json.loads((ticks.place.home / "accounts.yaml").read_text())["alerts"]
    ticks.configure(None)
    ticks.tick()
    ticks.configure(section)
    ticks.tick()
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert", "alert"]


def test_mistakes_in_accounts_yaml_are_reported_to_the_last_good_receiver(ticks: Ticks) -> None:
    ticks.write()
    ticks.tick()
    (ticks.place.home / "accounts.yaml").write_text("accounts: [\n", encoding="utf-8")
    ticks.tick()
    assert shown(ticks.last, "kind", "urgent") == ("configuration", False)
    check_user_text(ticks.last["text"].partition(" →")[0])  # a long line is cut after it, where the home's path decides


def test_a_home_that_can_not_be_opened_for_minutes_is_reported(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks.write()
    ticks.tick()
    ticks.stop()
    ticks.tick()
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", "postgresql://anna:secret@127.0.0.1:1/ledger")
    data = ticks.tick()
    assert len(ticks.receiver.requests) == 1, "neither an alert yet, nor an all clear"
    assert "secret" not in data.skip_message
    ticks.tick(datetime.timedelta(seconds=CLOSED_S))
    assert len(ticks.receiver.requests) == 2
    assert shown(ticks.last, "kind", "urgent") == ("home_closed", True)
    assert "secret" not in json.dumps(ticks.last)
    monkeypatch.delenv("EXTEND_PIPELINE_LEDGER_URL")
    data = ticks.tick()
    assert data.asset_events == []
    assert len(ticks.receiver.requests) == 2, "the account is still stopped, as reported"
    ticks.stop(resume=True)
    ticks.tick(10 * MINUTE)
    assert ticks.last["kind"] == "all_clear"


def test_the_mistake_that_keeps_a_home_from_being_opened_is_named(ticks: Ticks) -> None:
    ticks.write(video("one"))
    (ticks.place.home / "catalog.yaml").write_text("videos: [\n", encoding="utf-8")
    check_user_text(ticks.tick().skip_message)  # there is no ledger yet


def test_times_are_those_of_the_home(ticks: Ticks) -> None:
    ticks.write()
    path = ticks.place.home / "accounts.yaml"
    path.write_text(json.dumps({"timezone": "Asia/Shanghai", **json.loads(path.read_text())}))
    ticks.stop()
    ticks.receiver.script = Script(500)
    said = ticks.tick().skip_message
    assert "UTC" not in said
    assert "+08:00" in said
