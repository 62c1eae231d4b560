"""Screens of 60, 80, 120 and 200 columns: tables fit, numbers, ids and commands stay whole."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extend_pipeline.commands.render.table import Column, drawn, fit
from extend_pipeline.commands.render.text import cells, wrapped
from extend_pipeline.commands.warehouse.sql import SCREEN_ROWS
from extend_pipeline_tests.cli.conftest import CONFIG, Cli
from extend_pipeline_tests.support.home.homes import credentials_env, video
from extend_pipeline_tests.support.processes.terminal import read_to_end

Home = Callable[..., Cli]

WIDTHS = (60, 80, 120, 200)
MAX_KEY = "harbour-dawn-with-as-long-a-name-as-a-key-may-have.2026-11-28.v2"
SCREENS: Mapping[str, Sequence[str]] = {
    "status": ["status"],
    "plan": ["plan"],
    "doctor": ["doctor", "--offline"],
    "narrow": ["sql", "SELECT video_key, hop FROM lineage WHERE video_key = 'robot'"],
    "wide": ["sql", "FROM completed_extensions WHERE video_key = 'robot'"],
    "long": ["sql", "FROM range(1_500)"],
    "two": ["sql", "SELECT 41 + 1 AS one; SELECT 'second' AS two"],
}
WIDE = ("status", "plan", "wide")
ON_A_TERMINAL = """
import fcntl, json, struct, sys, termios
from extend_pipeline.cli import cli
home, screens = json.loads(sys.argv[1])
for width, name, arguments in screens:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    print(f"<<{width} {name}>>", flush=True)
    try:
        cli(["--home", home, *arguments])
    except SystemExit:
        pass
"""


def on_a_terminal(home: Path, screens: Sequence[tuple[int, str, Sequence[str]]]) -> dict[tuple[int, str], str]:
    """Show screens, each with its width, on a pseudo-terminal, and return their texts without colours."""
    our_end, program_end = pty.openpty()
    arguments = json.dumps([str(home), screens])
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, arguments],
        stdin=subprocess.DEVNULL,
        stdout=program_end,
        stderr=program_end,
        env={**env, **credentials_env(CONFIG), "TERM": "xterm-256color"},
    )
    os.close(program_end)
    shown = read_to_end(our_end)
    assert process.wait(timeout=30) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")
    _, *parts = re.split(r"<<(\d+) (\w+)>>\n", plain)
    return {(int(width), name): body for width, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}


def test_every_screen_fits_a_terminal_of_each_width(home_of: Home) -> None:
    dated = {"video_id": "source-old", "model": "kling-v1-6", "mode": "std", "duration": 5.1}
    run = home_of(
        video("robot", extend={"to": 12, "prompt": "a sentence that takes more than eighty columns of any screen"}),
        video(MAX_KEY),
        video("old", source={**dated, "created_at": "2026-01-01T08:00:00Z"}),
    )
    assert run("advance", "--until-idle", "--video", "robot").exit_code == 1  # `old` waits for the operator
    ids = [row[0] for row in run.json("sql", "SELECT video_id FROM completed_extensions")["rows"]]

    planned = [(width, name, SCREENS[name]) for width in WIDTHS for name in (SCREENS if width <= 80 else WIDE)]
    screens = on_a_terminal(run.home, planned)

    assert list(screens) == [(width, name) for width, name, _ in planned]
    for (width, name), screen in screens.items():
        assert "Traceback" not in screen
        for line in screen.splitlines():
            # what is copied stays in one line, and a word is never broken
            copied = line.startswith(" ") or "extend-pipeline " in line
            longest = max(map(cells, line.split()), default=0)
            assert cells(line) <= width or copied or longest > width - 24, (width, name, line)
        words = set(screen.split())
        if name in ("status", "plan"):
            assert {"robot", "old", MAX_KEY, "complete", "blocked"} <= words, (width, screen)
            assert re.search(r"5\.1 s, 2 steps", screen)
        if name == "status":
            assert {"sandbox", "open"} <= words
        if name == "wide":
            assert set(ids) & words, (width, screen)
            assert "robot" in words
            assert "2.000000" in words
        if name == "long":
            assert str(SCREEN_ROWS - 1) in words
            assert "1499" not in screen
            assert f"{SCREEN_ROWS:,}" in screen
        if name == "two":
            assert "42" in words
            assert "second" in words


def test_a_pipe_gets_lines_of_120_columns_and_every_row(home_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    run = home_of(video("robot"), video(MAX_KEY))
    for verb in ("status", "plan"):
        assert max(cells(line) for line in run(verb).stdout.splitlines()) <= 120
    assert run("publish").exit_code == 0
    rows_shown = run("sql", "FROM range(1_500)").stdout
    assert "1499" in rows_shown
    monkeypatch.setenv("COLUMNS", "60")
    sentences = ("no room for: ", "left to spend ")
    tables = [line for line in run("plan").stdout.splitlines() if not line.startswith(sentences)]
    assert max(cells(line) for line in tables if MAX_KEY not in line) <= 60


COLUMNS = (
    Column("name"),
    Column("least", right=True, rank=3),
    Column("count", right=True, rank=1),
    Column("words", prose=True, rank=2),
)


def draw(rows: Sequence[Sequence[str]], width: int) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, markup=False, highlight=False).print(drawn(COLUMNS, rows, width), soft_wrap=True)
    return out.getvalue()


def test_what_matters_least_goes_first() -> None:
    rows = [["harbour-dawn", "1234567.5", "100", "the fog lifts and ships come in"]]
    shown = [sorted(fit(COLUMNS, rows, width) or ()) for width in (80, 50, 45, 40, 20, 14, 11)]
    assert shown == [[0, 1, 2, 3], [0, 2, 3], [0, 2, 3], [0, 2], [0, 2], [0], []]
    words = set(draw(rows, 11).split())
    assert {*rows[0][3].split(), "1234567.5"} <= words  # a block leaves nothing out


def test_one_wide_record_leaves_the_others_in_their_table() -> None:
    shown = draw([["a", "1", "2", ""], ["b" * 64, "3", "4", ""], ["c", "5", "6", ""]], 60).splitlines()
    assert [line.split() for line in shown[2:4]] == [["a", "1", "2"], ["c", "5", "6"]]
    assert f"name   {'b' * 64}" in shown


word = st.text("aZ09-é霧", min_size=1, max_size=30)
row = st.tuples(word, st.integers().map(str), st.integers(0).map(str), st.lists(word, max_size=8).map(" ".join))


@settings(deadline=None, max_examples=50)  # a busy machine would exceed any deadline
@given(st.lists(row, min_size=1, max_size=5), st.sampled_from(WIDTHS))
def test_tables_fit_and_no_word_of_them_is_broken(rows: list[tuple[str, ...]], width: int) -> None:
    shown = draw(rows, width)
    hidden = set(range(4)) - set(fit(COLUMNS, rows, width) or range(4))
    for cell in (cell for line in rows for place, cell in enumerate(line) if place not in hidden):
        for part in cell.split():
            assert part in shown
    for line in shown.splitlines():
        assert cells(line) <= width or any(cells(part) > width - 7 for part in line.split())


@settings(deadline=None)
@given(st.text(), st.integers(1, 80))
def test_wrapping_keeps_every_word(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert " ".join(lines).split() == text.split()
    assert all(cells(line) <= width or " " not in line for line in lines)
