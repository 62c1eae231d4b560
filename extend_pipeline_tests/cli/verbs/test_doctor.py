"""Doctor: every check reports its findings and what to do, and changes nothing."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.commands.doctor import account_checks, local_checks
from extend_pipeline.commands.doctor.diagnostics import Level
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.cli.conftest import CONFIG, Cli
from extend_pipeline_tests.support.home.homes import ACCESS_ENV, credentials_env, video, write_home
from extend_pipeline_tests.support.processes.open_for_writing import open_for_writing
from extend_pipeline_tests.support.user_texts import check_user_text, line_with
from extend_pipeline_tests.webhooks.receiving import SECRET

Home = Callable[..., Cli]


def _by(document: dict[str, Any], level: str) -> list[dict[str, Any]]:
    return [finding for finding in document["findings"] if finding["level"] == level]


def test_a_home_that_has_worked_has_no_problem_and_no_warning(
    home_of: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    run = home_of(video("well"))
    assert run("advance", "--until-idle").exit_code == 0
    before = run.files()
    document = run.json("doctor")
    assert _by(document, "problem") == _by(document, "warning") == []
    messages = [
        finding["message"] for finding in document["findings"] if finding["check"] in ("ledger", "account sandbox")
    ]
    check_user_text(re.sub(r"\b\d+ events", "EVENTS", "\n".join(messages)), without={sqlite3.sqlite_version: "VERSION"})
    assert run.files() == before


def test_a_fresh_home_stays_as_it_was(home_of: Home) -> None:
    run = home_of(video("new"))
    findings = run.json("doctor")["findings"]
    check_user_text("\n".join(finding["message"] for finding in findings if finding["check"] == "ledger"))
    assert run.files() == ["accounts.yaml", "catalog.yaml"]


def test_missing_variables_are_named_and_set_ones_never_shown(home_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run = home_of(video("unset"))
    monkeypatch.delenv(ACCESS_ENV)
    result = run("doctor")
    assert result.exit_code == 1
    check_user_text(line_with(result.stdout, f"{ACCESS_ENV} is"))
    for value in credentials_env(CONFIG).values():
        assert value not in result.output


def test_a_wrong_configuration_is_reported_beside_all_other_checks_and_ends_with_2(tmp_path: Path) -> None:
    run = Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", [video("one", extend={"to": 4})]))
    document = run.json("doctor", "--offline", code=2)
    assert [finding["check"] for finding in _by(document, "problem")] == ["configuration"]
    assert _by(document, "problem")[0]["message"].startswith("catalog.yaml:")
    assert any(finding["check"] == "disk" for finding in document["findings"])


def test_an_upstream_that_cannot_be_reached_is_a_problem_unless_offline(home_of: Home) -> None:
    run = home_of(video("away"), base_url="http://127.0.0.1:9")
    [problem] = _by(run.json("doctor", code=1), "problem")
    check_user_text(problem["message"])
    assert run("doctor", "--offline").exit_code == 0


def test_doctor_asks_only_what_is_free(home_of: Home, sandbox: SandboxHandle) -> None:
    run = home_of(video("free"))
    tasks, before = len(sandbox.tasks()), _by_method(sandbox)
    assert run("doctor").exit_code == 0
    after = _by_method(sandbox)
    assert after["GET"] > before["GET"]
    assert after["POST"] == before["POST"]
    assert len(sandbox.tasks()) == tasks


def _by_method(sandbox: SandboxHandle) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in sandbox.requests()["counts"]:
        counts[row["method"]] += row["count"]
    return counts


def test_a_broken_invariant_of_the_ledger_is_a_problem(home_of: Home) -> None:
    run = home_of(video("broken"))
    assert run("advance", "--until-idle").exit_code == 0
    connection = sqlite3.connect(run.home / "state" / "ledger.sqlite")
    with connection:
        connection.execute("UPDATE accounts SET committed_micros = 1 WHERE account = 'sandbox'")
    connection.close()
    problems = _by(run.json("doctor", code=1), "problem")
    assert len(problems) == 1
    check_user_text(problems[0]["message"])


def test_a_stale_warehouse_is_a_warning_with_the_command_to_type(home_of: Home) -> None:
    run = home_of(video("stale"))
    run("publish")
    run("pause")
    [stale] = [finding for finding in _by(run.json("doctor"), "warning") if finding["check"] == "warehouse"]
    check_user_text(f"{stale['message']} → {stale['todo']}")


def test_a_warehouse_that_a_program_has_open_for_writing_is_a_warning_and_sql_names_the_program(home_of: Home) -> None:
    run = home_of(video("open"))
    run("publish")
    with open_for_writing(run.home / "state" / "warehouse.duckdb") as pid:
        [warning] = [finding for finding in _by(run.json("doctor"), "warning") if finding["check"] == "warehouse"]
        asked = run("sql", "SELECT 1")
        assert run.json("publish")["outcome"] == "already_fresh"
        assert run("status").exit_code == 0
    assert (asked.exit_code, asked.stdout) == (2, "")
    for text in (warning["message"], asked.stderr):
        assert f"(process {pid})" in text
    assert asked.stderr.strip().endswith(warning["todo"])


@pytest.mark.parametrize(
    ("skew", "level"),
    [(None, "ok"), (0.9, "ok"), (-30.0, "warning"), (30.0, "warning"), (-61.0, "problem"), (4000.0, "problem")],
)
def test_the_level_of_a_clock_finding_follows_from_the_skew(skew: float | None, level: str) -> None:
    assert account_checks.check_clock("account a", skew).level.value == level


@pytest.mark.parametrize(("free_gib", "level"), [(0.5, "problem"), (5, "warning"), (50, "ok")])
def test_the_level_of_the_disk_finding_follows_from_the_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, level: str
) -> None:
    from extend_pipeline.config.settings import Settings

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**50, 0, int(free_gib * 2**30)))
    [disk] = [finding for finding in local_checks.check_media(Settings.for_home(tmp_path)) if finding.check == "disk"]
    assert disk.level.value == level


def test_a_media_folder_open_to_others_is_a_warning(tmp_path: Path) -> None:
    from extend_pipeline.config.settings import Settings

    settings = Settings.for_home(tmp_path)
    settings.media_dir.mkdir(parents=True, mode=0o755)
    settings.media_dir.chmod(0o755)
    findings = [finding for finding in local_checks.check_media(settings) if finding.check == "media"]
    [message] = [finding.message for finding in findings if finding.level is Level.WARNING]
    check_user_text(message)


@pytest.mark.parametrize(("home", "level"), [("", "warning"), ("relative", "problem"), ("/no/such/place", "problem")])
def test_dagsters_home_is_checked(home: str, level: str) -> None:
    assert local_checks.check_dagster({"DAGSTER_HOME": home}).level.value == level


def test_a_dagster_home_open_to_others_is_a_warning(tmp_path: Path) -> None:
    assert local_checks.check_dagster({"DAGSTER_HOME": str(tmp_path)}).level is Level.OK
    tmp_path.chmod(0o755)
    finding = local_checks.check_dagster({"DAGSTER_HOME": str(tmp_path)})
    assert (finding.level, finding.todo) == (Level.WARNING, f"chmod 700 {tmp_path}")


def test_the_document_is_json_with_four_fields_a_finding(home_of: Home) -> None:
    run = home_of(video("shape"))
    document = json.loads(run("doctor", "--json", "--offline").stdout)
    assert all(set(finding) == {"level", "check", "message", "todo"} for finding in document["findings"])
    assert document["home"] == str(run.home)


def test_callbacks_are_checked_by_their_address_and_their_secret(
    home_of: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def about_callbacks(**callbacks: str) -> list[tuple[str, str]]:
        document = home_of(video("called"), callbacks=callbacks).json("doctor", "--offline", code=code)
        findings = [row for row in document["findings"] if row["check"].startswith("callbacks of")]
        return [(finding["level"], finding["message"]) for finding in findings]

    code = 0
    assert [level for level, _ in about_callbacks(url="https://hooks.example.com/x")] == ["ok", "ok"]
    level, message = about_callbacks(url="http://127.0.0.1:8788/x")[0]
    assert level == "warning"
    check_user_text(message)
    code = 1
    signed = about_callbacks(url="https://hooks.example.com/x", secret_env="DOCTOR_TEST_SECRET")
    assert [level for level, _ in signed] == ["ok", "problem"]
    check_user_text(signed[1][1])
    code = 0
    monkeypatch.setenv("DOCTOR_TEST_SECRET", SECRET)
    signed = about_callbacks(url="https://hooks.example.com/x", secret_env="DOCTOR_TEST_SECRET")
    assert [level for level, _ in signed] == ["ok", "ok"]
    assert SECRET not in str(signed)
