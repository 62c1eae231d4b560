"""From plan to lineage on a real sandbox: what the verbs print, what they do, and how they end."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.cli.conftest import CONFIG, Cli
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.home.homes import credentials_env, video
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

Home = Callable[..., Cli]


def test_plan_advance_status_and_lineage_agree(home_of: Home, sandbox: SandboxHandle) -> None:
    run = home_of(video("dawn"), video("dusk", extend={"to": 12, "prompt": "night falls"}))
    before = sandbox.charges()["total_units"]

    planned = run.json("plan")
    assert planned["due"] == 2
    assert planned["totals"] == [
        {
            "account": "sandbox",
            "unit": "kling-unit",
            "units": {"least": "8", "most": "8"},
            "currency": "USD",
            "amount": {"least": "1.12", "most": "1.12"},
        }
    ]
    assert run.files() == ["accounts.yaml", "catalog.yaml"]

    done = run.json("advance", "--until-idle")
    assert done["did"]["submitted"] == done["did"]["stored"] == 4
    assert done["stopped"] is False
    assert Decimal(str(sandbox.charges()["total_units"])) - Decimal(str(before)) == 8

    status = run.json("status")
    assert {entry["video"]: entry["state"] for entry in status["videos"]} == {"dawn": "complete", "dusk": "complete"}
    assert status["accounts"][0]["committed"] == "8"
    assert status["accounts"][0]["amount"] == "1.12"
    assert status["in_doubt"] == []

    lineage = run.json("sql", "SELECT video_key, hop, duration_before_s, duration_after_s FROM lineage ORDER BY 1, 2")
    assert lineage["columns"] == ["video_key", "hop", "duration_before_s", "duration_after_s"]
    rows = lineage["rows"]
    assert [row[:2] for row in rows] == [["dawn", 1], ["dawn", 2], ["dusk", 1], ["dusk", 2]]
    assert rows[0][3] == rows[1][2]
    assert Decimal(rows[1][3]) * 1000 == Decimal(status["videos"][0]["current_s"]) * 1000
    assert run.json("publish")["outcome"] == "already_fresh"


def test_progress_off_a_terminal_has_one_line_per_event(home_of: Home) -> None:
    run = home_of(video("lines"))
    out = run("advance", "--until-idle").stdout
    assert re.search(r"(?m)^\d\d:\d\d:\d\d lines/1 submitted$", out)
    grown = re.search(r"(?m)^\d\d:\d\d:\d\d lines/1 stored 5\.1 s → ([\d.]+) s, 2 kling-unit$", out)
    assert grown is not None
    assert f"lines/2 stored {grown[1]} s → " in out
    check_user_text(line_with(out, "done: "))
    assert "\x1b" not in out


def test_one_advance_is_one_round_and_only_the_named_videos_move(home_of: Home) -> None:
    run = home_of(video("first"), video("second"))
    assert run.json("advance", "--video", "second")["did"]["submitted"] == 1
    states = {entry["video"]: entry["running"] for entry in run.json("status")["videos"]}
    assert states["first"] is None
    assert states["second"]["hop"] == 1
    wrong = run("advance", "--video", "secnd")
    assert wrong.exit_code == 2
    check_user_text(wrong.stderr)


def test_a_video_that_left_the_catalogue_is_known_with_what_was_paid_for_it(home_of: Home) -> None:
    run = home_of(video("leaves"), video("leaver"))
    assert run("advance", "--until-idle").exit_code == 0
    catalogue = run.home / "catalog.yaml"
    catalogue.write_text(json.dumps({"videos": [video("leaver")]}), encoding="utf-8")
    for declares in (False, True):
        if declares:
            assert run("advance").exit_code == 0
        for words in ("status leaves", "plan leaves", "advance --video leaves", "approve leaves --keep"):
            result = run(*words.split())
            assert result.exit_code == 2, words
            check_user_text(line_with(result.stderr, "Error: "))
    (command,) = re.findall(r"extend-pipeline --home .* sql (.*)", result.stderr)
    assert len(run.json("sql", command.strip('"'))["rows"]) == 2


def test_max_seconds_ends_the_work_while_more_is_left(home_of: Home) -> None:
    run = home_of(video("long", extend={"steps": 30, "prompt": "on and on"}))
    did = run.json("advance", "--max-seconds", "1")
    assert did["did"]["submitted"] >= 1
    assert did["videos"][0]["state"] == "working"
    result = run("advance")
    assert result.exit_code == 0  # no signal stopped it
    tasks = re.sub(r"\b[01] tasks?\b", "TASKS", result.stdout.splitlines()[-1])
    check_user_text(re.sub(r"\b(now|at [\d: -]+ UTC)", "TIME", tasks))


def test_no_work_is_left_where_every_video_is_complete(home_of: Home) -> None:
    run = home_of(video("ends", extend={"steps": 1}))
    assert run.json("advance", "--until-idle")["next_due_at"] is None
    check_user_text(run("advance", "--until-idle").stdout)


def test_a_video_that_left_the_catalogue_before_the_work_began_is_shown_and_counted(home_of: Home) -> None:
    run = home_of(video("stays", extend={"steps": 1}), video("leaves", extend={"steps": 9}))
    run.json("advance")
    document = yaml.safe_load((run.home / "catalog.yaml").read_text(encoding="utf-8"))
    document["videos"] = [entry for entry in document["videos"] if entry["key"] == "stays"]
    (run.home / "catalog.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    out = run("advance").stdout
    shown = re.sub(r"(?m)^\d\d:\d\d:\d\d ", "", line_with(out, " leaves left "))
    check_user_text(shown)
    assert re.search(r"(?m)^done: .*\b1 withdrawn\b", out)


def test_files_that_break_while_the_work_goes_on_are_reported_once(home_of: Home) -> None:
    run = home_of(video("edited", extend={"steps": 30, "prompt": "on and on"}))
    catalogue = run.home / "catalog.yaml"
    written = catalogue.read_text(encoding="utf-8")

    def break_it() -> None:
        eventually((run.home / "state" / "ledger.sqlite").exists)  # the files have been read by then
        catalogue.write_text("{", encoding="utf-8")

    breaking = threading.Thread(target=break_it)
    breaking.start()
    done = run("advance", "--max-seconds", "1.5")
    breaking.join()
    check_user_text(line_with(done.stdout, "catalog.yaml:2: "))
    check_user_text(line_with(done.stdout, "Ctrl-C"))
    check_user_text(line_with(done.stdout, "still open: "), without={str(run.home): "HOME"})
    catalogue.write_text(written, encoding="utf-8")
    assert run.json("advance")["videos"][0]["state"] == "working"


def test_a_paused_home_submits_nothing_until_it_is_resumed(home_of: Home, sandbox: SandboxHandle) -> None:
    run = home_of(video("held"))
    posts = len(sandbox.tasks())
    paused = run.json("pause", "--why", "lunch", "--who", "ann")
    assert paused == {"paused": ["everything"], "why": "lunch", "who": "ann"}
    status = run.json("advance", "--until-idle", code=1)
    assert status["everything_paused"] is True
    assert status["videos"][0]["obstacle"]["kind"] == "paused"
    check_user_text(status["videos"][0]["obstacle"]["todo"])
    assert len(sandbox.tasks()) == posts
    assert run.json("plan", code=1)["needs_person"] == 1
    assert run.json("resume")["resumed"] == ["everything"]
    assert run.json("resume")["resumed"] == []
    assert run.json("advance")["did"]["submitted"] == 1
    with sqlite3.connect(run.home / "state" / "ledger.sqlite") as ledger:
        recorded = ledger.execute("SELECT actor, data FROM events WHERE kind = 'account_paused'").fetchall()
    ledger.close()
    assert recorded == [("ann", '{"why":"lunch"}')]


def test_an_account_is_paused_by_its_name_only(home_of: Home) -> None:
    run = home_of(video("named"))
    wrong = run("pause", "sandbx")
    assert wrong.exit_code == 2
    check_user_text(wrong.stderr)
    assert run("pause", "sandbox").exit_code == 0
    assert run.json("status", code=1)["accounts"][0]["paused"] is True
    assert run.json("resume", "sandbox")["resumed"] == ["sandbox"]
    assert run("pause").exit_code == 0
    check_user_text(run("resume", "sandbox").stdout)
    check_user_text(run("resume").stdout)


def test_refused_credentials_stop_the_account_and_no_secret_is_shown(
    home_of: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = home_of(video("locked"))
    for name in credentials_env(CONFIG):
        monkeypatch.setenv(name, "wrong-and-secret-value-of-more-than-32-bytes")
    advanced = run("advance", "--until-idle")
    assert advanced.exit_code == 1
    assert "stopped" in advanced.output
    for verb in ("status", "doctor", "plan"):
        result = run(verb)
        assert result.exit_code == 1, verb
        assert "wrong-and-secret" not in result.output + advanced.output
    assert run.json("status", code=1)["accounts"][0]["stopped"].startswith("auth: ")


def test_prompts_and_texts_of_the_provider_cannot_control_the_terminal(home_of: Home, sandbox: SandboxHandle) -> None:
    link = ":smile: [link=http://evil]here"
    hostile = f"[bold red]x[/] \u202egnp.exe\u2066 {link}"
    run = home_of(video("hostile", extend={"steps": 1, "prompt": hostile}), submit_class="C")
    sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    screen = run("advance", "--until-idle").stdout
    assert "[bold red]x[/]" in screen
    assert link in screen
    assert "\\u202egnp.exe" in screen
    assert run("resolve", "hostile/1", "resubmit", "--yes").exit_code == 0
    assert run("advance", "--until-idle").exit_code == 0
    for arguments in (
        ["status"],
        ["sql", "SELECT prompt, chr(27) || '[31m' AS \"a[b]\" FROM lineage"],
        ["sql", "SELECT prompt FROM lineage", "--json"],
    ):
        shown = run(*arguments).stdout
        assert not set(shown) & set("\u202e\u2066\x1b")
    assert run.json("sql", "SELECT prompt FROM lineage")["rows"] == [[hostile]]


def test_sql_returns_exact_values_and_names_mistakes(home_of: Home) -> None:
    run = home_of(video("asked"))
    early = run("sql", "SELECT 1")
    assert early.exit_code == 2
    assert "publish" in early.stderr
    assert run.json("publish")["outcome"] == "published"
    query = (
        "SELECT 1.10::DECIMAL(38, 6) AS d, '007' AS id, NULL AS n,"
        " TIMESTAMPTZ '2026-11-01 08:00:00+02' AS t, [1, 2] AS l"
    )
    assert run.json("sql", query)["rows"] == [["1.100000", "007", None, "2026-11-01T06:00:00Z", [1, 2]]]
    [header, row] = list(csv.reader(io.StringIO(run("sql", query, "--csv").stdout)))
    assert header == ["d", "id", "n", "t", "l"]
    assert row == ["1.100000", "007", "", "2026-11-01T06:00:00Z", "[1, 2]"]
    wrong = run("sql", "SELECT nothing FROM lineage")
    assert wrong.exit_code == 2
    assert "nothing" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert run("sql", "DELETE FROM lineage").exit_code == 2
    assert run("sql", "SELECT 1", "--csv", "--json").exit_code == 2
    assert {"1.100000", "007", "NULL"} <= set(run("sql", query).stdout.split())
    for nothing in ("", ";", " ;; ", "/* SELECT 1 */", "-- SELECT 1"):
        for form in ([], ["--csv"], ["--json"]):
            empty = run("sql", nothing, *form)
            assert empty.exit_code == 2
            check_user_text(empty.stderr)
    several = "SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c"
    assert [document["rows"] for document in run.json("sql", several)["results"]] == [[[1]], [[2]], [[3]]]
    assert run("sql", several, "--csv").stdout.split() == ["a", "1", "b", "2", "c", "3"]
    for comment in ("-- a comment", "--", "--csv", "-- --json = 1", "--==="):
        query = f"{comment}\nSELECT 7 AS a"
        for arguments in ([query, "--csv"], ["--csv", query], ["--csv", "--", query]):
            assert run("sql", *arguments).stdout.split() == ["a", "7"]
    assert run("sql", "--cvs", "SELECT 1").exit_code == 2
    cut_short = run("sql", "SELECT 'seen'; SELECT x")
    assert cut_short.exit_code == 2
    assert "seen" in cut_short.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_the_work_after_what_is_under_way(home_of: Home, number: signal.Signals) -> None:
    run = home_of(video("graceful", extend={"steps": 30, "prompt": "on and on"}))
    process = run.start("advance", "--until-idle", "--json", env=credentials_env(CONFIG))
    assert process.stderr is not None
    while "stored" not in (line := process.stderr.readline()):
        assert line, "advance ended before it was signalled"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    document = json.loads(out)
    assert document["stopped"] is True
    assert document["next_due_at"] is not None
    assert document["videos"][0]["state"] == "working"
    assert 1 <= document["did"]["stored"] < 30
    checked = run.json("doctor")
    assert all(finding["level"] != "problem" for finding in checked["findings"])


def test_work_whose_output_is_closed_says_on_stderr_that_it_stopped(home_of: Home) -> None:
    run = home_of(video("piped", extend={"steps": 30, "prompt": "on and on"}))
    with run.start("advance", "--until-idle", env=credentials_env(CONFIG)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "piped/1" in process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 130, err
    first, last = err.splitlines()
    check_user_text(first)
    check_user_text(re.sub(r"\b[01] tasks?\b", "TASKS", re.sub(r"\b(now|at [\d: -]+ UTC)", "TIME", last)))
    with run.start("plan") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_second_signal_ends_the_work_at_once_and_nothing_is_lost(home_of: Home, sandbox: SandboxHandle) -> None:
    run = home_of(video("abrupt"))
    sandbox.faults([{"kind": "timeout_after", "where": "submit", "hold": 60}])
    process = run.start("advance", "--until-idle", env=credentials_env(CONFIG))
    _wait_for_state(run.home, "sending")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    check_user_text(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    charged = sandbox.charges()
    after = run.json("advance", "--until-idle")
    assert after["videos"][0]["state"] == "complete"
    assert sandbox.charges()["double"] == charged["double"]


def _wait_for_state(home: Path, state: str) -> None:
    deadline = time.monotonic() + 20
    path = home / "state" / "ledger.sqlite"
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_size and state in _states(path):
            return
        time.sleep(0.02)
    raise AssertionError(f"no attempt came to {state}")


def _states(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return [row[0] for row in connection.execute("SELECT state FROM attempts")]
    except sqlite3.OperationalError:
        return []  # the tables are being made
    finally:
        connection.close()
