"""A PostgreSQL address where its driver isn't installed: a sentence with the command that installs it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from extend_pipeline.ledger.database import LedgerError, open_ledger
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

ADDRESS = "postgresql://someone:hunter2-hunter2@127.0.0.1:9/none"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line of a home on a machine without any driver of PostgreSQL."""
    for name in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, name, None)
    return Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", [video("one")]))


def test_every_verb_that_opens_the_ledger_names_the_extra(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", ADDRESS)
    for verb in (["plan"], ["status"], ["advance"], ["publish"], ["pause"], ["ledger", "accept"], ["doctor"]):
        result = run(*verb)
        assert result.exit_code == (1 if verb == ["doctor"] else 2), result.output
        check_user_text(line_with(result.output, "[postgres]"))
        assert "hunter2" not in result.output


def test_a_copy_to_it_names_the_extra_too(run: Cli) -> None:
    result = run("ledger", "copy", "--to", ADDRESS)
    assert result.exit_code == 2
    check_user_text(result.stderr)


@pytest.mark.usefixtures("run")
def test_another_driver_is_named() -> None:
    with pytest.raises(LedgerError, match="aiosqlite"):
        open_ledger("sqlite+aiosqlite://")
