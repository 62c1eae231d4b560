"""`alert --test`: a test alert by the receivers of accounts.yaml, and what came back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.servers.receiver import Script, running_receiver
from extend_pipeline_tests.support.user_texts import check_user_text

Home = Callable[..., Cli]
SECRET = "TEST_ALERT_SECRET"


def configured(home_of: Home, alerts: dict[str, Any]) -> Cli:
    """Return the command line of a home with a section `alerts`."""
    run = home_of(video("one"))
    path = run.home / "accounts.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"alerts": alerts}))
    return run


def test_a_test_alert_is_sent_and_the_reply_shown(home_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, f"whsec_{base64.b64encode(bytes(32)).decode()}")
    with running_receiver() as receiver:
        receiver.script = Script(200, body=b"ok")
        section = {"webhook": receiver.url, "secret_env": SECRET, "allow_local": True, "command": ["cat"]}
        run = configured(home_of, section)
        result = run("alert", "--test")
        assert result.exit_code == 0, result.output
        webhook, command = result.stdout.splitlines()
        check_user_text(webhook)
        check_user_text(command.partition("{")[0])
        document = run.json("alert", "--test")
        first, second = receiver.messages
    assert (first["kind"], first["home"], first["waits"]) == ("test", str(run.home), 0)
    assert document["message"] == second
    assert [(entry["receiver"], entry["delivered"]) for entry in document["receivers"]] == [
        ("webhook", True),
        ("command", True),
    ]
    assert run.files() == ["accounts.yaml", "catalog.yaml"], "it writes nothing"
    found = run.json("doctor", "--offline")["findings"]
    assert [finding["level"] for finding in found if finding["check"] == "alerts"] == ["ok", "ok"]


def test_what_went_wrong_is_shown_with_exit_code_1(home_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    with running_receiver() as receiver:
        section = {
            "webhook": receiver.url,
            "secret_env": SECRET,
            "allow_local": True,
            "command": ["no-such-program"],
        }
        run = configured(home_of, section)
        result = run("alert", "--test")
        assert result.exit_code == 1
        for line in result.stdout.splitlines():
            check_user_text(line)
        entries = run.json("alert", "--test", code=1)["receivers"]
        assert [entry["delivered"] for entry in entries] == [False, False]
        findings = [f for f in run.json("doctor", "--offline")["findings"] if f["check"] == "alerts"]
        assert [finding["level"] for finding in findings] == ["warning", "warning"]
        for finding in findings:
            check_user_text(finding["message"])
        assert receiver.requests == []


def test_without_receivers_or_without_the_option_it_is_wrong_use(home_of: Home) -> None:
    run = home_of(video("one"))
    result = run("alert", "--test")
    assert result.exit_code == 2
    check_user_text(result.stderr)
    result = run("alert")
    assert result.exit_code == 2
    check_user_text(result.stderr)


def test_with_a_mistake_in_the_files_nothing_is_sent(home_of: Home) -> None:
    with running_receiver() as receiver:
        receiver.script = Script(200, body=b"ok")
        run = configured(home_of, {"webhook": receiver.url, "allow_local": True})
        assert run("pause").exit_code == 0
        path = run.home / "accounts.yaml"
        path.write_text(path.read_text().replace('"webhook"', '"webhok"'))
        result = run("alert", "--test")
        assert (result.exit_code, result.stdout, receiver.requests) == (2, "", [])
    assert "webhok" in result.stderr


def test_without_receivers_each_mistake_is_shown_once(home_of: Home) -> None:
    run = home_of(video("one"))
    assert run("pause").exit_code == 0
    (run.home / "catalog.yaml").write_text("videos: [\n")
    result = run("alert", "--test")
    assert (result.exit_code, result.stdout, result.stderr.count("catalog.yaml:")) == (2, "", 1)
