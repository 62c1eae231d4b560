"""alert_sensor over several ticks: the checks that it keeps up to date, and the alerts that a real webhook and a real
command get."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine

from extend_pipeline.dagster_defs.checks import needs
from extend_pipeline.dagster_defs.sensors.alert import CLOSED_S, STATE_KEY
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.needs import Need
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import controls
from extend_pipeline.sandbox import SandboxConfig, running_sandbox
from extend_pipeline_tests.dagster_defs.conftest import Place, open_place
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.home.homes import ACCESS_ENV, SECRET_ENV, video
from extend_pipeline_tests.support.servers.receiver import Receiver, Script, running_receiver
from extend_pipeline_tests.support.user_texts import check_user_text

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
KEY = bytes(range(32))
SECRET = "TEST_ALERT_SECRET"


@dataclass
class Ticks:
    """Ticks of alert_sensor in a place of its own, and the receiver that its accounts.yaml names."""

    place: Place
    receiver: Receiver
    cursor: str | None = None
    time: datetime.timedelta = datetime.timedelta()

    def write(self, *entries: dict[str, Any], alerts: dict[str, Any] | None = None, **account: Any) -> None:
        """Write the home; by default alerts go to the receiver, signed."""
        self.place.write(entries, **account)
        section = {"webhook": self.receiver.url, "secret_env": SECRET, "allow_local": True}
        self.configure(section if alerts is None else alerts)

    def configure(self, alerts: dict[str, Any] | None) -> None:
        """Write another section `alerts`; None takes it out."""
        path = self.place.home / "accounts.yaml"
        written = json.loads(path.read_text())
        written.pop("alerts", None)
        path.write_text(json.dumps(written | ({} if alerts is None else {"alerts": alerts}), indent=1))

    def tick(self, after: datetime.timedelta = MINUTE) -> Any:
        """Tick some time after the last one."""
        self.time += after
        with time_machine.travel(datetime.datetime.now(datetime.UTC) + self.time, tick=True):
            data = self.place.sensor("alert_sensor", cursor=self.cursor)
        self.cursor = data.cursor
        return data

    def checks(self, data: Any) -> dict[str, dg.AssetCheckEvaluation]:
        """Return the evaluations of a tick, by name."""
        return {event.check_name: event for event in data.asset_events}

    @property
    def last(self) -> dict[str, Any]:
        """Return the last message, whose signature is checked by the specification alone."""
        request = self.receiver.requests[-1]
        sent = [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body]
        digest = hmac.new(KEY, b".".join(sent), hashlib.sha256).digest()
        assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert request.headers["webhook-id"] == request.message["id"]
        return request.message

    def advance(self, later: datetime.timedelta | None = None, **config: Any) -> None:
        """Run advance_job, now or later."""
        moment = None if later is None else time_machine.travel(datetime.datetime.now(datetime.UTC) + later, tick=True)
        with moment or nullcontext():
            assert self.place.advance(**config).success


@pytest.fixture
def ticks(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticks]:
    """Yield ticks in a place."""
    monkeypatch.setenv(SECRET, f"whsec_{base64.b64encode(KEY).decode()}")
    with running_receiver() as receiver:
        yield Ticks(place, receiver)


@pytest.fixture
def own_ticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticks]:
    """Yield ticks in a place with a sandbox of its own, so that ordered faults strike no other test."""
    monkeypatch.setenv(SECRET, f"whsec_{base64.b64encode(KEY).decode()}")
    config = SandboxConfig(width=96, height=64, fps=6, run_time=(0, 0))
    with (
        running_sandbox(tmp_path / "sandbox", config) as sandbox,
        open_place(tmp_path / "home", sandbox) as place,
        running_receiver() as receiver,
    ):
        yield Ticks(place, receiver)


def only_item(message: dict[str, Any]) -> dict[str, Any]:
    """Return the one thing that a message lists."""
    (item,) = message["waiting"]
    assert (message["more_waiting"], item["new"]) == (0, True)
    check_user_text(item["helps"])
    return dict(item)


def shown(message: dict[str, Any], *names: str) -> tuple[Any, ...]:
    item = only_item(message)
    return tuple(item[name] for name in names)


# what waits, on the check and in the alert


def test_a_stopped_account(own_ticks: Ticks) -> None:
    own_ticks.write(*(video(key, extend={"steps": 1, "prompt": "x"}) for key in ("one", "two", "three")))
    own_ticks.place.sandbox.faults([{"kind": "no_money", "where": "submit", "times": 99}])
    own_ticks.advance()
    checks = own_ticks.checks(own_ticks.tick())
    assert {name: check.severity for name, check in checks.items()} == {
        "nobody_is_needed": ERROR,
        "accounts_run": ERROR,
    }
    assert not checks["nobody_is_needed"].passed
    message = own_ticks.last
    assert (message["kind"], message["waits"], message["urgent"]) == ("alert", 1, 1)
    assert shown(message, "kind", "urgent", "hop", "account", "charge") == (
        "account_stopped",
        True,
        None,
        "sandbox",
        None,
    )
    item = only_item(message)
    assert sorted(item["videos"]) == ["one", "three", "two"]
    assert item["words"]
    check_user_text(message["text"])


@pytest.mark.parametrize("kind", ["content_refusal", "code_1201"])
def test_a_refused_request(own_ticks: Ticks, kind: str) -> None:
    own_ticks.write(video("one"), video("fine", extend={"steps": 1, "prompt": "x"}), in_doubt={"settle": 0.1})
    match = {"video_id": own_ticks.place.source("one")}
    own_ticks.place.sandbox.faults([{"kind": kind, "where": "submit", "times": 99, "match": match}])
    own_ticks.advance()
    checks = own_ticks.checks(own_ticks.tick())
    assert (checks["nobody_is_needed"].passed, checks["nobody_is_needed"].severity) == (False, WARN)
    assert checks["accounts_run"].passed
    assert shown(own_ticks.last, "urgent", "videos", "hop", "charge") == (False, ["one"], 1, "not charged")
    assert only_item(own_ticks.last)["words"]
    check_user_text(own_ticks.last["text"])


@pytest.mark.parametrize(
    ("charged", "charge"),
    [("yes", "charged 2 kling-unit = 0.28 USD (estimated)"), ("no", "not charged")],
)
def test_a_failed_hop(own_ticks: Ticks, charged: str, charge: str) -> None:
    own_ticks.write(video("one"), failed_tasks_charged=charged)
    own_ticks.place.sandbox.faults(
        [
            {"kind": "fail_task", "where": "submit"},
            {"kind": "no_unit_deduction", "where": "query", "times": 99},
            {"kind": "no_unit_deduction", "where": "list", "times": 99},
        ]
    )
    own_ticks.advance()
    checks = own_ticks.checks(own_ticks.tick())
    assert (checks["nobody_is_needed"].passed, checks["nobody_is_needed"].severity) == (False, WARN)
    assert shown(own_ticks.last, "kind", "urgent", "videos", "hop", "charge") == ("failed", False, ["one"], 1, charge)
    check_user_text(own_ticks.last["text"])


def test_money_in_doubt_for_over_an_hour(own_ticks: Ticks) -> None:
    own_ticks.write(video("one"), submit_class="C")
    own_ticks.place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    own_ticks.advance()
    early = own_ticks.checks(own_ticks.tick())
    assert early["nobody_is_needed"].severity is WARN
    first = own_ticks.last
    assert shown(first, "kind", "urgent", "videos", "hop") == ("in_doubt", False, ["one"], 1)
    late = own_ticks.checks(own_ticks.tick(2 * HOUR))
    assert late["nobody_is_needed"].severity is ERROR
    second = own_ticks.last
    assert second["id"] != first["id"]
    assert shown(second, "kind", "urgent") == ("in_doubt", True)
    check_user_text(only_item(second)["charge"])
    own_ticks.tick(HOUR)
    assert len(own_ticks.receiver.requests) == 2, "its age alone is nothing new"
    with own_ticks.place.resource.open() as pipeline:
        assert isinstance(resolve.write_off(pipeline, "one/1", who="t", why="t"), resolve.Resolved)
    after = own_ticks.checks(own_ticks.tick())
    assert after["nobody_is_needed"].severity is WARN


def test_a_result_that_is_about_to_expire(own_ticks: Ticks) -> None:
    own_ticks.write(video("one"))
    own_ticks.place.sandbox.faults([{"kind": "5xx_before", "where": "download", "times": 9999}])
    with own_ticks.place.resource.open() as pipeline:

        def is_paid() -> bool:
            advance(pipeline, publish=False)
            with pipeline.ledger.read() as connection:
                return bool(queries.attempts_in(connection, (AttemptState.SUCCEEDED,)))

        eventually(is_paid)
    assert own_ticks.checks(own_ticks.tick())["nobody_is_needed"].passed
    assert own_ticks.receiver.requests == []
    late = own_ticks.checks(own_ticks.tick(30 * 24 * HOUR - HOUR / 2))
    assert (late["nobody_is_needed"].passed, late["nobody_is_needed"].severity) == (False, ERROR)
    assert shown(own_ticks.last, "urgent", "videos", "hop", "account") == (True, ["one"], 1, "sandbox")
    check_user_text(own_ticks.last["text"])


# what a tick does with it


def stop(ticks: Ticks, *, resume: bool = False) -> None:
    with (
        ticks.place.resource.open() as pipeline,
        pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx,
    ):
        if resume:
            controls.resume(tx, "sandbox", why="t")
        else:
            controls.stop_account(tx, "sandbox", reason="no_money", message="the balance is empty")


def test_the_checks_follow_what_a_person_does_without_a_run_and_without_alerts(ticks: Ticks) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}), alerts={})
    ticks.configure(None)
    first = ticks.checks(ticks.tick())
    assert [check.passed for check in first.values()] == [True, True]
    assert ticks.tick().asset_events == []
    stop(ticks)
    red = ticks.checks(ticks.tick())
    assert {name: (check.passed, check.severity) for name, check in red.items()} == {
        "nobody_is_needed": (False, ERROR),
        "accounts_run": (False, ERROR),
    }
    quiet = ticks.tick()
    assert quiet.asset_events == []
    check_user_text(quiet.skip_message)
    stop(ticks, resume=True)
    green = ticks.checks(ticks.tick())
    assert [check.passed for check in green.values()] == [True, True]
    assert ticks.receiver.requests == []
    assert ticks.place.instance.daemon_cursor_storage.get_cursor_values({f"{STATE_KEY}/all/webhook"}) == {}


def test_each_thing_is_sent_once_again_after_a_day_and_when_it_is_over(ticks: Ticks) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    stop(ticks)
    check_user_text(ticks.tick().skip_message)
    for _ in range(3):
        ticks.tick(HOUR)
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert"]
    ticks.tick(24 * HOUR)
    stop(ticks, resume=True)
    ticks.tick()
    assert ticks.last["kind"] == "reminder", "it may come back in a minute"
    ticks.tick(10 * MINUTE)
    ticks.tick()
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert", "reminder", "all_clear"]
    assert (ticks.last["waits"], ticks.last["waiting"]) == (0, [])
    check_user_text(ticks.last["text"])


def test_a_refused_delivery_is_said_by_the_tick_and_repeated_with_its_id(ticks: Ticks) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    stop(ticks)
    ticks.receiver.script = Script(500, body=b"try later")
    check_user_text(ticks.tick().skip_message)
    key = f"{STATE_KEY}/all/webhook"
    state = ticks.place.instance.daemon_cursor_storage.get_cursor_values({key})[key]
    assert ticks.receiver.url not in state
    assert base64.b64encode(KEY).decode() not in state
    stop(ticks, resume=True)  # over before it was delivered: both are sent
    ticks.receiver.script = Script(200)
    for _ in range(14):
        ticks.tick()
    first, again, end = ticks.receiver.requests
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"] != end.headers["webhook-id"]
    assert end.message["kind"] == "all_clear"


def test_a_missing_secret_holds_nothing_else_up(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    monkeypatch.delenv(SECRET)
    stop(ticks)
    data = ticks.tick()
    assert ticks.checks(data)["nobody_is_needed"].severity is ERROR
    check_user_text(data.skip_message)
    assert ticks.receiver.requests == []
    monkeypatch.setenv(SECRET, f"whsec_{base64.b64encode(KEY).decode()}")
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
        video("one", extend={"steps": 1, "prompt": "x"}),
        alerts={
            "command": [sys.executable, str(script), str(got)],
            "webhook": ticks.receiver.url,
            "secret_env": SECRET,
            "allow_local": True,
        },
    )
    stop(ticks)
    ticks.receiver.script = Script(500)
    data = ticks.tick()
    check_user_text(data.skip_message, without={sys.executable: "PYTHON"})
    (paged,) = (json.loads(path.read_text()) for path in got.iterdir())
    assert (paged["kind"], paged["urgent"], paged["keys"]) == ("alert", 1, [None, None, None])
    stop(ticks, resume=True)
    ticks.tick(10 * MINUTE)
    assert sorted(json.loads(path.read_text())["kind"] for path in got.iterdir()) == ["alert", "all_clear"]


def test_a_receiver_that_is_no_longer_named_is_forgotten(ticks: Ticks) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    stop(ticks)
    ticks.tick()
    section = json.loads((ticks.place.home / "accounts.yaml").read_text())["alerts"]
    ticks.configure(None)
    ticks.tick()
    ticks.configure(section)
    ticks.tick()
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert", "alert"]


def test_mistakes_in_accounts_yaml_are_reported_to_the_last_good_receiver(ticks: Ticks) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    ticks.tick()
    (ticks.place.home / "accounts.yaml").write_text("accounts: [\n", encoding="utf-8")
    ticks.tick()
    assert shown(ticks.last, "kind", "urgent") == ("configuration", False)
    check_user_text(ticks.last["text"])


def test_a_home_that_can_not_be_opened_for_minutes_is_reported(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    ticks.tick()
    stop(ticks)
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
    stop(ticks, resume=True)
    ticks.tick(10 * MINUTE)
    assert ticks.last["kind"] == "all_clear"


def test_the_mistake_that_keeps_a_home_from_being_opened_is_named(ticks: Ticks) -> None:
    ticks.write(video("one"))
    (ticks.place.home / "catalog.yaml").write_text("videos: [\n", encoding="utf-8")
    check_user_text(ticks.tick().skip_message)  # there is no ledger yet


def test_what_waits_is_looked_up_once_a_tick(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up_again(_pipeline: object) -> list[Need]:
        raise AssertionError("a second look")

    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    stop(ticks)
    monkeypatch.setattr(needs, "needs_now", look_up_again)
    check = ticks.checks(ticks.tick())["nobody_is_needed"]
    assert (check.passed, check.severity, check.metadata["findings"].value) == (False, ERROR, 1)


def test_times_are_those_of_the_home(ticks: Ticks) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    path = ticks.place.home / "accounts.yaml"
    path.write_text(json.dumps({"timezone": "Asia/Shanghai", **json.loads(path.read_text())}))
    stop(ticks)
    ticks.receiver.script = Script(500)
    said = ticks.tick().skip_message
    assert "UTC" not in said
    assert "+08:00" in said


# failed runs


def test_failed_runs_of_the_mount_are_reported_once_and_those_before_are_not(ticks: Ticks) -> None:
    section = {
        "webhook": ticks.receiver.url,
        "secret_env": SECRET,
        "allow_local": True,
        "dagster_url": "https://dagster.example.com",
    }
    ticks.write(video("one"), video("two"), alerts=section)
    ticks.place.sensor("catalog_sensor")

    def fail() -> str:
        result = ticks.place.defs.resolve_job_def("extend_job").execute_in_process(
            instance=ticks.place.instance,
            run_config={"ops": {"extend": {"config": {"videos": ["three"]}}}},
            raise_on_error=False,
        )
        assert not result.success
        return result.run_id

    @dg.op
    def burst() -> None:
        raise ValueError("of another project")

    @dg.job
    def other_job() -> None:
        burst()

    fail()
    ticks.tick()
    assert ticks.receiver.requests == [], "a new cursor begins now"
    failed = fail()
    other_job.execute_in_process(instance=ticks.place.instance, raise_on_error=False)
    ticks.tick()
    message = ticks.last
    (run,) = message["failed_runs"]
    assert (run["run_id"], run["job"], run["url"]) == (
        failed,
        "extend_job",
        f"https://dagster.example.com/runs/{failed}",
    )
    assert "Traceback" not in run["error"]
    check_user_text(run["error"])
    for _ in range(3):
        ticks.tick(HOUR)
    assert len(ticks.receiver.requests) == 1
    ticks.configure({**section, "failed_runs": False})
    fail()
    ticks.tick(HOUR)
    ticks.configure(section)
    ticks.tick(HOUR)
    assert len(ticks.receiver.requests) == 1


def test_a_run_whose_process_is_gone_is_reported(ticks: Ticks) -> None:
    ticks.write(video("one", extend={"steps": 1, "prompt": "x"}))
    ticks.tick()
    job = ticks.place.defs.resolve_job_def("advance_job")
    run = ticks.place.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    ticks.place.instance.report_run_failed(run, "This run is over: its process is gone.\nNothing is lost.")
    ticks.tick()
    (failed,) = ticks.last["failed_runs"]
    assert (failed["job"], failed["url"]) == ("advance_job", None)
    check_user_text(failed["error"])
