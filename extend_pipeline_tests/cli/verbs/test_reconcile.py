"""`reconcile` on the command line: what agrees, what doesn't, an invoice, and an operator who accepts a difference."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

Home = Callable[..., Cli]


def finished(home_of: Home, key: str, **changes: object) -> Cli:
    """Return the command line of a home with one video that is complete."""
    run = home_of(video(key, extend={"steps": 1, "prompt": "x"}), **changes)
    assert run("advance", "--until-idle").exit_code == 0
    return run


def made_days_ago(run: Cli, days: int) -> None:
    """Date all attempts back by `days`: the command uses the machine's clock, and no bill has tasks of the last day."""
    columns = ("claimed_at", "sending_at", "submitted_at", "completed_at", "finished_at")
    with closing(sqlite3.connect(run.home / "state" / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(f"UPDATE attempts SET {', '.join(f'{name} = {name} - {days * 86_400_000}' for name in columns)}")


def test_nothing_to_compare_before_the_first_claim(home_of: Home) -> None:
    run = home_of(video("unclaimed", extend={"steps": 1, "prompt": "x"}))
    result = run("reconcile")
    assert result.exit_code == 0
    check_user_text(result.stdout)


def test_an_invoice_is_compared_and_its_differences_are_accepted(home_of: Home, tmp_path: Path) -> None:
    one_step = {"steps": 1, "prompt": "x"}
    run = home_of(video("invoiced", extend=one_step), video("forgotten", extend=one_step), adopt_orphans=False)
    assert run("advance", "--until-idle").exit_code == 0
    tasks = run.json("sql", "SELECT task_id FROM extension_requests WHERE video_key = 'invoiced'")["rows"]
    made_days_ago(run, 3)
    bill = tmp_path / "bill.csv"
    lines = f"{tasks[0][0]},2,2020-01-01\n999,3,{datetime.now(UTC).date()}\n"
    bill.write_text(f"task_id,units,date\n{lines}", encoding="utf-8")
    name = run.json("status")["accounts"][0]["account"]
    result = run("reconcile", name, "--invoice", str(bill))
    assert result.exit_code == 1
    check_user_text(line_with(result.stdout, "invoice/999"))
    document = run.json("reconcile", name, "--invoice", str(bill), code=1)
    [note] = document["books"][0]["notes"]
    check_user_text(note)
    document = run.json("status", code=1)
    assert {row["verdict"] for row in document["disagreements"]} == {"ledger_only", "upstream_only"}
    check_user_text(line_with(run("status").stdout, "--accept"))
    advanced = run("advance")
    assert (advanced.exit_code, advanced.stdout.count("needs you: ")) == (1, 2), advanced.stdout
    assert run("reconcile", name, "--accept", "invoice/998").exit_code == 2
    for row in document["disagreements"]:
        accepted = run("reconcile", name, "--accept", f"{row['book']}/{row['task_id']}", "--why", "known")
        assert accepted.exit_code == 0, accepted.output
    assert run.json("status")["disagreements"] == []
    assert run.json("status")["accounts"][0]["committed"] == "2"  # no statement bills the second
    rows = run.json("sql", "SELECT task_id, verdict FROM reconciliations WHERE verdict = 'accepted'")["rows"]
    assert len(rows) == 3 - 1


def test_all_mistakes_of_an_invoice_are_reported_at_once(home_of: Home, tmp_path: Path) -> None:
    run = finished(home_of, "misread")
    name = run.json("status")["accounts"][0]["account"]
    bill = tmp_path / "bill.csv"
    bill.write_text("task_id,units\n8.27942E+17,1\n5,many\n", encoding="utf-8")
    result = run("reconcile", name, "--invoice", str(bill))
    assert result.exit_code == 2
    assert "bill.csv:2" in result.stderr
    assert "bill.csv:3" in result.stderr


def test_wrong_use_names_the_right_command(home_of: Home, tmp_path: Path) -> None:
    run = home_of(video("misused", extend={"steps": 1, "prompt": "x"}))
    bill = tmp_path / "bill.csv"
    bill.write_text("task_id,units\n1,1\n", encoding="utf-8")
    check_user_text(run("reconcile", "--invoice", str(bill)).stderr)
    two_modes = run("reconcile", "k", "--invoice", str(bill), "--accept", "invoice/1")
    assert two_modes.exit_code == 2
    check_user_text(two_modes.stderr)
    result = run("reconcile", "unlisted")
    assert result.exit_code == 2
    check_user_text(result.stderr)


def test_no_adopt_holds_for_all_accounts(home_of: Home, sandbox: SandboxHandle) -> None:
    run = finished(home_of, "shared", adopt_orphans="all")
    sandbox.foreign_task()
    result = run("reconcile", "--no-adopt")
    assert result.exit_code == 1
    check_user_text(result.stdout.splitlines()[-1])
    assert run.json("status", code=1)["orphans"] == []
