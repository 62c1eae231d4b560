"""A home that commit 12d5390 wrote goes on by the command line: nothing that was submitted is submitted again, what is
in flight is fetched, and every query of that version works. Knows the package by its command line and sandbox only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from extend_pipeline.cli import cli
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, running_sandbox
from extend_pipeline_tests.support.homes_of_before.unpack import QUERIES, SEED, SIZE, unpack
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.servers.postgres import PostgresServer

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)

FINISHED = ("harbour", "港口", "jetty", "mole", "market", "street", "garden")
IN_FLIGHT = ("flight-kling", "flight-market", "flight-street", "flight-garden")
NOT_FETCHED = (
    "late-gone",
    "late-noroom",
    "late-refused",
    "late-unsound",
    "late-unreachable",
    "late-market",
    "late-street",
    "late-garden",
)
KNOWN_ELSEWHERE = ("spooled", "doubt-lost", "called-back")
"""Their tasks exist: one is named by a spooled answer, one found by its key, one by its callback."""
NEVER_MADE = ("doubt-absent", "doubt-nocontrol", "doubt-silent")
"""Their submits never arrived: they are shown to be absent, and bought."""
BLOCKED = ("doubt-foreign", "called-nowhere", "no-money", "at-rest")

OBSTACLES = {
    "late-refused": "not_fetched",
    "late-noroom": "no_disk_space",
    "late-market": "not_fetched",
    "doubt-absent": "in_doubt_checking",
    "doubt-lost": "in_doubt_checking",
    "doubt-silent": "in_doubt_checking",
    "doubt-nocontrol": "in_doubt",
    "doubt-foreign": "in_doubt",
    "called-nowhere": "in_doubt",
    "called-back": "in_doubt",
    "flight-market": "overdue",
    "flight-street": "overdue",
    "late-street": "not_fetched",
    "no-money": "account_stopped",
    "at-rest": "paused",
}
"""What stands in a video's way before anything is done. Accounts k and luma have patience for a day, so that of theirs
only notes that no patience helps are reported."""


@dataclass
class Home:
    """The home, its sandbox, and the ids of the tasks that the sandbox had before."""

    path: Path
    sandbox: SandboxHandle
    tasks: list[str]

    def __call__(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Result:
        """Run a command; assert that its exit code is one of `codes`."""
        result = CliRunner().invoke(cli, ["--home", str(self.path), *arguments])
        assert result.exit_code in codes, (arguments, result.exit_code, result.output)
        return result

    def rows_of(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query of the warehouse."""
        result = json.loads(self("sql", "--json", query).stdout)
        return [dict(zip(result["columns"], row, strict=True)) for row in result["rows"]]

    def planned(self) -> list[dict[str, Any]]:
        """Return what the plan says of every video of the catalogue."""
        return list(json.loads(self("plan", "--json", codes=(0, 1)).stdout)["videos"])

    def states(self) -> dict[str, str]:
        """Return the state of every video of the catalogue."""
        return {row["video"]: row["state"] for row in self.planned()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Lay the home and its sandbox out, an hour after it was written."""
    port = free_port()
    texts = unpack(tmp_path, f"127.0.0.1:{port}")
    config = SandboxConfig(**SIZE, run_time=(0, 0), seed=SEED, url_ttl=3650 * 86400.0, slots=300)
    keys = {"ACCESS": config.access_key, "SECRET": config.secret_key, "GATEWAY": config.gateway.key}
    for name, value in {**keys, "VIDU": config.vidu.key, "LUMA": config.luma.key}.items():
        monkeypatch.setenv(f"ENGINE_TEST_{name}_KEY", value)
    monkeypatch.setenv("EXTEND_PIPELINE_MIN_FREE_BYTES", "0")
    monkeypatch.setenv("EXTEND_PIPELINE_RESULT_BYTES", "0")
    with running_sandbox(tmp_path / "sandbox", config, port=port) as sandbox:
        assert urlsplit(sandbox.base_url).port == port
        assert "INSERT INTO" in texts["home/state/ledger.sql"]
        yield Home(tmp_path / "home", sandbox, [task["task_id"] for task in sandbox.tasks()])


def queries() -> list[str]:
    """Return the queries that worked on the warehouse of that version."""
    parts = QUERIES.read_text(encoding="utf-8").partition("\n")[2].split(";\n")
    return [part.strip() for part in parts if part.strip()]


def goes_on(home: Home) -> None:
    """Advance until idle, and compare the end with the sandbox's charges."""
    before = home.states()
    assert {before[key] for key in FINISHED} == {"complete"}
    home("status", codes=(0, 1))
    home("advance", "--until-idle", "--max-seconds", "60", codes=(1,))
    after = home.states()
    complete = {*FINISHED, *IN_FLIGHT, *NOT_FETCHED, *KNOWN_ELSEWHERE, *NEVER_MADE}
    assert {key for key, state in after.items() if state == "complete"} == complete
    assert {key for key, state in after.items() if state != "complete"} == set(BLOCKED)
    tasks = home.sandbox.tasks()
    assert [task["task_id"] for task in tasks[: len(home.tasks)]] == home.tasks
    assert len(tasks) == len(home.tasks) + len(NEVER_MADE)
    assert home.sandbox.charges()["double"] == []
    assert list((home.path / "state" / "answers").glob("*.json")) == []
    home("publish")
    for query in queries():
        home("sql", query)
    rows = home.rows_of("SELECT video_key, task_id FROM completed_extensions")
    stored = {row["video_key"]: row["task_id"] for row in rows}
    assert complete <= stored.keys()
    assert sum(key.startswith("orphan:") for key in stored) == 1
    assert {stored[key] for key in (*IN_FLIGHT, *NOT_FETCHED, *KNOWN_ELSEWHERE)} <= set(home.tasks)
    assert {row["verdict"] for row in home.rows_of("FROM reconciliations")} >= {"accepted", "matched"}
    home("doctor", codes=(0, 1))


def test_every_query_works_before_anything_is_done(home: Home) -> None:
    assert len(queries()) >= 18
    for query in queries():
        home("sql", query)


def test_it_goes_on_as_a_home_that_was_copied(home: Home) -> None:
    """A copy spends nothing until the operator has accepted its ledger."""
    home("advance", codes=(1,))
    assert [task["task_id"] for task in home.sandbox.tasks()] == home.tasks
    home("ledger", "accept", "--who", "ann", "--why", "it is the only one")
    goes_on(home)


def test_it_goes_on_in_place(home: Home) -> None:
    """Without the record of its ledger, by which a copy is known, the home counts as never moved."""
    (home.path / "state" / "ledger.json").unlink()
    before = home.states()
    assert "complete" not in {
        before[key] for key in (*IN_FLIGHT, *NOT_FETCHED, *KNOWN_ELSEWHERE, *NEVER_MADE, *BLOCKED)
    }
    obstacles = {row["video"]: row["obstacle"]["kind"] for row in home.planned() if row["obstacle"] is not None}
    assert obstacles == OBSTACLES
    goes_on(home)
    with sqlite3.connect(home.path / "state" / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM step_choices").fetchone() == (1,)


def test_it_goes_on_in_postgresql(home: Home, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.path / "state" / "ledger.json").unlink()
    url = postgres.new_database("home_of_0009")
    home("ledger", "copy", "--to", url)
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", url)
    goes_on(home)
