"""The operator's decisions about an attempt in doubt, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import account, video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

Home = Callable[..., Cli]


@pytest.fixture
def doubtful(home_of: Home, sandbox: SandboxHandle, request: pytest.FixtureRequest) -> Cli:
    """The command line of a home of class C whose one submit was cut off before or after the task existed."""
    key = request.node.name.replace("[", "-").replace("]", "")[:60]
    run = home_of(video(key, extend={"steps": 1, "prompt": "x"}), submit_class="C")
    sandbox.faults([{"kind": getattr(request, "param", "reset_before"), "where": "submit"}])
    assert run("advance", "--until-idle").exit_code == 1
    return run


def _where(run: Cli) -> str:
    [doubt] = run.json("status", code=1)["in_doubt"]
    return str(doubt["extension"])


def test_status_shows_the_exposure_the_request_and_the_commands(doubtful: Cli) -> None:
    where = _where(doubtful)
    [doubt] = doubtful.json("status", code=1)["in_doubt"]
    assert doubt["exposure"] == {"unit": "kling-unit", "units": "2"}
    [of_account] = doubtful.json("status", code=1)["accounts"]
    assert (of_account["in_doubt"], of_account["budget"]["in_doubt"]) == ("2", "1000")
    assert doubt["external_task_id"] in doubt["request"]
    assert float(doubt["age_s"]) >= 0
    screen = doubtful("status").stdout
    sent = datetime.fromisoformat(doubt["sent_at"])
    assert doubt["path"] == "/v1/videos/video-extend"
    shown = {f"{sent:%Y-%m-%d %H:%M:%S} UTC": "SENT", doubt["request"]: "BODY", doubt["external_task_id"]: "KEY"}
    check_user_text(screen[screen.index(f"in doubt: {where}") :], without=shown)


def test_what_costs_money_is_not_done_without_a_yes(doubtful: Cli) -> None:
    where = _where(doubtful)
    for action in ("resubmit", "write-off"):
        refused = doubtful("resolve", where, action)
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
        check_user_text(refused.stderr)
    assert doubtful.json("status", code=1)["in_doubt"]


def test_what_was_never_submitted_needs_no_yes(home_of: Home) -> None:
    run = home_of(video("never"))
    result = run("resolve", "never/9", "resubmit")
    assert result.exit_code == 1
    check_user_text(result.stderr)


def test_the_operator_at_a_terminal_is_asked(doubtful: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    where = _where(doubtful)
    monkeypatch.setattr("extend_pipeline.commands.resolve.is_interactive", lambda: True)
    declined = doubtful("resolve", where, "write-off", input="n\n")
    assert declined.exit_code == 130
    assert doubtful.json("status", code=1)["in_doubt"]
    done = doubtful("resolve", where, "write-off", input="y\n")
    assert done.exit_code == 0
    assert doubtful.json("status", code=1)["in_doubt"] == []


def test_resubmit_charges_the_attempt_in_doubt_and_pays_again(doubtful: Cli, sandbox: SandboxHandle) -> None:
    where = _where(doubtful)
    document = doubtful.json("resolve", where, "resubmit", "--yes", "--who", "ann", "--why", "the console shows none")
    assert document["done"] is True
    assert document["extension"] == where
    status = doubtful.json("advance", "--until-idle")
    assert status["videos"][0]["state"] == "complete"
    assert status["accounts"][0]["committed"] == "4"
    events = doubtful.json("sql", "SELECT state, generation FROM extension_requests ORDER BY generation")
    assert events["rows"] == [["written_off", 1], ["stored", 2]]


def test_a_written_off_step_waits_until_the_operator_pays_again(doubtful: Cli) -> None:
    where = _where(doubtful)
    assert doubtful.json("resolve", where, "write-off", "--yes")["done"] is True
    status = doubtful.json("status", code=1)
    assert status["videos"][0]["obstacle"]["kind"] == "written_off"
    again = doubtful("resolve", where, "write-off", "--yes")
    assert again.exit_code == 1
    check_user_text(again.stderr)


@pytest.mark.parametrize("doubtful", ["reset_after"], indirect=True)
def test_adopt_takes_the_task_that_is_there_and_no_other(doubtful: Cli, sandbox: SandboxHandle) -> None:
    where = _where(doubtful)
    wrong = doubtful("resolve", where, "adopt", "no-such-task")
    assert wrong.exit_code == 1
    check_user_text(wrong.stderr)
    task = sandbox.tasks()[-1]["task_id"]
    assert doubtful.json("resolve", where, "adopt", task)["task_id"] == task
    status = doubtful.json("advance", "--until-idle")
    assert status["videos"][0]["state"] == "complete"
    assert status["accounts"][0]["committed"] == "2"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere", "resubmit"],
        ["key/0", "resubmit"],
        ["key/1", "adopt"],
        ["key/1", "take"],
        ["key/1", "resubmit", "task"],
        ["key/1", "forget"],
    ],
)
def test_wrong_use_is_refused_before_anything_is_opened(home_of: Home, arguments: list[str]) -> None:
    run = home_of(video("key"))
    result = run("resolve", *arguments)
    assert result.exit_code == 2
    check_user_text(result.stderr)
    assert run.files() == ["accounts.yaml", "catalog.yaml"]


def test_a_step_that_was_never_submitted_cannot_be_resolved(home_of: Home) -> None:
    run = home_of(video("fresh"))
    result = run("resolve", "fresh/1", "resubmit", "--yes")
    assert result.exit_code == 1
    check_user_text(result.stderr)


def test_a_doubt_of_a_video_that_left_the_catalogue_is_still_shown(doubtful: Cli, sandbox: SandboxHandle) -> None:
    where = _where(doubtful)
    write_home(doubtful.home, sandbox.base_url, [video("another")], {"submit_class": "C"})
    screen = doubtful("status").stdout
    assert f"in doubt: {where}" in screen
    check_user_text(line_with(screen, " adopt TASK"))


def test_a_doubt_whose_video_a_mistake_hides_has_no_write_off(doubtful: Cli) -> None:
    where, copy = _where(doubtful), doubtful.home / "catalog" / "old copy.yaml"
    copy.parent.mkdir()
    copy.write_bytes((doubtful.home / "catalog.yaml").read_bytes())
    shown = doubtful("status")
    assert (shown.exit_code, "write-off" in shown.stdout) == (2, False)
    assert f"in doubt: {where}" in shown.stdout
    check_user_text(line_with(shown.stdout, f"fetched: {where}"))
    copy.unlink()
    assert "write-off" in doubtful("status").stdout


def test_attempts_of_a_removed_account_are_reported(doubtful: Cli, sandbox: SandboxHandle) -> None:
    elsewhere = account(sandbox.base_url, name="elsewhere")
    write_home(doubtful.home, "", [video("another", account="elsewhere")], accounts=[elsewhere])
    assert doubtful.json("status", code=1)["unknown_accounts"] == [], "the account of the last good file still holds"
    for copy in (doubtful.home / "state").glob("accounts.last-good*"):
        copy.unlink()
    assert doubtful.json("status", code=1)["unknown_accounts"] == [{"account": "sandbox", "attempts": 1}]
    check_user_text(line_with(doubtful("status").stdout, "account sandbox"))


def test_what_changed_while_the_operator_was_asked_is_not_decided(
    doubtful: Cli, sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, before = _where(doubtful), len(sandbox.tasks())

    def ask_both() -> bool:
        monkeypatch.setattr("extend_pipeline.commands.resolve.is_interactive", lambda: True)
        assert doubtful("resolve", where, "write-off", input="y\n").exit_code == 0
        return True

    monkeypatch.setattr("extend_pipeline.commands.resolve.is_interactive", ask_both)
    second = doubtful("resolve", where, "resubmit", input="y\n")
    assert second.exit_code == 1
    check_user_text(second.stderr)
    assert doubtful("advance", "--until-idle").exit_code == 1
    assert len(sandbox.tasks()) == before
