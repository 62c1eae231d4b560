"""What is shown: safe text, exact numbers, a live table on a terminal, and a home that is only read."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.commands.render import text
from extend_pipeline.commands.render.videos import bar, draw, hops, length
from extend_pipeline.commands.warehouse.values import to_json, to_text
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.ledger.database import has_ledger
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.kling.models import KlingAccount
from extend_pipeline_tests.cli.conftest import CONFIG, Cli
from extend_pipeline_tests.support.home.homes import account, credentials_env, video
from extend_pipeline_tests.support.processes.terminal import read_to_end
from extend_pipeline_tests.support.servers.postgres import PostgresServer
from extend_pipeline_tests.support.user_texts import check_user_text

Home = Callable[..., Cli]


_ACCOUNTS = {
    "a": KlingAccount.model_validate(account("http://127.0.0.1:9", budget={"per_day": 1, "total": 1}, name="a"))
}


def _plan(
    key: str, state: VideoState = VideoState.WORKING, current: int | None = 9_600, **changes: object
) -> VideoPlan:
    fields: dict[str, object] = {
        "key": key,
        "account": "a",
        "provider": "kling",
        "state": state,
        "hops_done": 1,
        "current_ms": current,
        "target_ms": 30_000,
        "target_steps": None,
        "is_branch": False,
        "hops_left": (4, 5),
        "micros_left": None,
        **changes,
    }
    return VideoPlan(**fields)  # type: ignore[arg-type]


@given(st.text())
def test_visible_text_has_nothing_that_acts_on_a_terminal(given_text: str) -> None:
    shown = text.visible(given_text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", shown)
    shown.encode("utf-8")


def test_ordinary_text_of_any_language_stays_as_it_is() -> None:
    for words in ("the fog lifts", "می‌خواهم", "霧が晴れる", "👩‍🚀 [b]", "naïve — “quoted”"):
        assert text.visible(words) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("0.000001"), "0.000001"),
        (Decimal("100.00"), "100.00"),
        (None, ""),
        (True, "true"),
        (b"\x00\xff", "00ff"),
        ({"a": [Decimal("1.10")]}, '{"a": ["1.10"]}'),
    ],
)
def test_values_of_a_query_are_written_exactly(value: object, words: str) -> None:
    assert to_text(value) == words


def test_no_result_of_a_query_breaks_json() -> None:
    assert to_json(float("nan")) == "nan"
    assert to_json(float("-inf")) == "-inf"
    assert to_json([1.5, 2**70]) == [1.5, 2**70]


def test_times_are_iso_and_ages_are_words() -> None:
    assert text.iso(1_793_520_000_123) == "2026-11-01T08:00:00.123Z"
    assert text.iso(None) is None
    assert [text.age(s) for s in (5, 90, 3_700, 90_000, 200_000)] == ["5 s", "1 min", "1 h", "25 h", "2 d"]


def test_a_video_is_described_by_what_is_known() -> None:
    assert hops(_plan("v")) == "1 + 4–5"
    assert length(_plan("v")) == "9.6 → 30 s"
    assert length(_plan("v", target_ms=None, target_steps=3)) == "9.6 s, 3 steps"
    unborn = _plan("v", current=None, hops_done=0, hops_left=(0, 0))
    assert (hops(unborn), length(unborn)) == ("0 + ?", "? → 30 s")


def test_a_bar_grows_to_its_target() -> None:
    shares = [bar(_plan("v", current=ms)).count("█") for ms in (0, 9_600, 29_999, 40_000)]
    assert shares == [0, 5, 15, 16]
    assert bar(_plan("v", state=VideoState.COMPLETE)).count("░") == 0


def test_a_live_table_shows_working_videos_first_and_counts_the_rest() -> None:
    from rich.console import Console

    many = [_plan(f"done-{n}", VideoState.COMPLETE) for n in range(50)] + [_plan("busy[b]")]
    drawn = io.StringIO()
    Console(width=120, file=drawn).print(draw(Plan(0, tuple(many)), _ACCOUNTS, rows=5, width=120))
    shown = drawn.getvalue()
    assert shown.index("busy[b]") < shown.index("done-0")
    check_user_text(shown)


def test_a_terminal_sees_a_table_with_bars_and_gets_its_cursor_back(home_of: Home) -> None:
    run = home_of(video("seen", extend={"to": 12, "prompt": "x"}))
    our_end, program_end = pty.openpty()
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(run.home), "advance", "--until-idle"]
    env = {**os.environ, **credentials_env(CONFIG), "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    process = subprocess.Popen(command, stdin=program_end, stdout=program_end, stderr=program_end, env=env)
    os.close(program_end)
    output = read_to_end(our_end)
    assert process.wait(timeout=20) == 0
    screen = output.decode()
    assert "░" in screen
    assert "5.1 → 12 s" in screen
    assert "seen/1 stored 5.1 s → " in screen
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l")
    check_user_text(screen[screen.rindex("done: ") :].splitlines()[0])


def test_looking_at_a_postgres_without_a_ledger_makes_none(
    home_of: Home, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database("cli_only_looked_at")
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", url)
    run = home_of(video("elsewhere"))
    assert run.json("plan")["due"] == 1
    assert run.json("status")["in_doubt"] == []
    assert not has_ledger(url)
    assert run("advance").exit_code == 0
    assert has_ledger(url)


def test_a_branch_whose_start_is_not_there_is_not_counted_as_free(home_of: Home) -> None:
    branch = video("branch", account=None, source={"branch_of": "trunk", "hop": 1}, extend={"to": 20, "prompt": "x"})
    run = home_of(video("trunk"), branch)
    planned = run.json("plan")
    assert planned["not_in_totals"] == ["branch"]
    assert planned["videos"][1]["cost_left"] is None
    assert planned["videos"][1]["obstacle"]["kind"] == "waiting_for_parent"
    check_user_text(run("plan").stdout)


def test_videos_that_wait_for_the_same_reason_share_one_line(home_of: Home) -> None:
    run = home_of(*(video(f"many-{n}") for n in range(8)), budget={"per_day": 1, "total": 1000})
    result = run("plan")
    assert result.exit_code == 1
    check_user_text(result.stdout)


def test_a_home_of_its_own_environment_needs_no_option(home_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from extend_pipeline.cli import cli

    run = home_of(video("env"))
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", str(run.home))
    assert CliRunner().invoke(cli, ["pause"]).exit_code == 0
    result = CliRunner().invoke(cli, ["status"])
    check_user_text(result.stdout[result.stdout.index("→ ") :])
    assert Path(run.home / "state").is_dir()
