"""`sql --excel` writes a workbook in which text is text in any script, and no number loses a digit."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
Cells = list[list[tuple[str, str]]]


def sheets(path: Path) -> list[Cells]:
    """Return the rows of (type, text) of each sheet; type `n` is a number, `b` a truth value, `inlineStr` text."""
    cells = []
    with zipfile.ZipFile(path) as book:
        for name in sorted(name for name in book.namelist() if name.startswith("xl/worksheets/sheet")):
            rows = ElementTree.fromstring(book.read(name)).iter(f"{MAIN}row")
            cells.append([[_cell(cell) for cell in row.iter(f"{MAIN}c")] for row in rows])
    return cells


def _cell(cell: ElementTree.Element) -> tuple[str, str]:
    return cell.get("t", "n"), "".join(part.text or "" for part in cell.iter() if part.tag[len(MAIN) :] in ("v", "t"))


def texts(sheet: Cells) -> list[list[str]]:
    return [[text for _, text in row] for row in sheet]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A home with a published file and nothing in it."""
    home = write_home(tmp_path_factory.mktemp("published") / "home", "http://127.0.0.1:9", [video("one")])
    cli = Cli(home)
    assert cli("publish").exit_code == 0
    return cli


def test_chinese_prompts_formulas_and_ids_come_out_as_they_are(home_of: Callable[..., Cli], tmp_path: Path) -> None:
    run = home_of(video("港口晨曦", extend={"steps": 1, "prompt": "=1+1，慢慢地"}))
    assert run("advance", "--until-idle").exit_code == 0
    book = tmp_path / "costs.xlsx"
    [[first]] = run.json("sql", "SELECT video_id FROM completed_extensions")["rows"]
    query = "SELECT r.video_key, prompt, c.video_id, units FROM extension_requests r JOIN completed_extensions c"
    result = run("sql", f"{query} USING (attempt_id)", "--excel", str(book))
    assert result.exit_code == 0, result.output
    [sheet] = sheets(book)
    assert texts(sheet)[0] == ["video_key", "prompt", "video_id", "units"]
    assert sheet[1] == [
        ("inlineStr", "港口晨曦"),
        ("inlineStr", "=1+1，慢慢地"),
        ("inlineStr", first),
        ("n", "2.000000"),
    ]


@pytest.mark.parametrize(
    ("expression", "cell"),
    [
        ("827942411241803822", ("inlineStr", "827942411241803822")),
        ("123456789012345", ("n", "123456789012345")),
        ("1234567890.123456::DECIMAL(18,6)", ("inlineStr", "1234567890.123456")),
        ("0.000001::DECIMAL(18,6)", ("n", "0.000001")),
        ("'000123'", ("inlineStr", "000123")),
        ("true", ("b", "1")),
        ("'inf'::DOUBLE", ("inlineStr", "inf")),
        ("DATE '2026-11-20'", ("n", "46346")),
        ("TIMESTAMP '2026-11-20 12:00:00'", ("n", "46346.5")),
        ("DATE '1899-12-31'", ("inlineStr", "1899-12-31")),
        ("TIMESTAMP 'infinity'", ("inlineStr", "9999-12-31T23:59:59.999999")),
        ("TIME '12:30:00'", ("inlineStr", "12:30:00")),
        ("[1, 2]", ("inlineStr", "[1, 2]")),
        ("chr(27) || 'x'", ("inlineStr", "_x001B_x")),
    ],
)
def test_values_are_what_a_cell_holds_exactly(run: Cli, tmp_path: Path, expression: str, cell: tuple[str, str]) -> None:
    book = tmp_path / "one.xlsx"
    assert run("sql", f"SELECT {expression} AS value", "--excel", str(book)).exit_code == 0
    assert sheets(book)[0][1] == [cell]


def test_times_are_in_the_zone_of_the_home_which_the_head_names(run: Cli, tmp_path: Path) -> None:
    accounts = run.home / "accounts.yaml"
    written, zone = accounts.read_text(encoding="utf-8"), "Asia/Shanghai"
    accounts.write_text(written.replace("{", f'{{"timezone": "{zone}",', 1), encoding="utf-8")
    book = tmp_path / "moments.xlsx"
    assert run("sql", "SELECT TIMESTAMPTZ '2026-11-20 16:00:00+00' AS at", "--excel", str(book)).exit_code == 0
    accounts.write_text(written, encoding="utf-8")
    assert sheets(book)[0] == [[("inlineStr", f"at ({zone})")], [("n", "46347")]]


def test_each_result_is_a_sheet_and_long_text_is_cut_at_what_a_cell_may_hold(run: Cli, tmp_path: Path) -> None:
    book = tmp_path / "two.xlsx"
    assert run("sql", "SELECT 1 AS a; SELECT repeat('x', 40000) AS b", "--excel", str(book)).exit_code == 0
    first, second = sheets(book)
    assert texts(first) == [["a"], ["1"]]
    assert len(texts(second)[1][0]) == 32_767


def test_nothing_is_left_or_replaced_where_it_fails(run: Cli, tmp_path: Path) -> None:
    book = tmp_path / "kept.xlsx"
    book.write_bytes(b"an older one")
    for query in ("", "SELECT nothing", "SELECT 1; SELECT nothing"):
        assert run("sql", query, "--excel", str(book)).exit_code == 2
    assert run("sql", "SELECT 1", "--excel", str(tmp_path / "no" / "folder.xlsx")).exit_code == 2
    assert run("sql", "SELECT 1", "--excel", str(book), "--csv").exit_code == 2
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kept.xlsx"]
    assert book.read_bytes() == b"an older one"


@pytest.mark.parametrize("name", ["catalog.yaml", "costs.csv", "costs"])
def test_a_file_that_is_no_workbook_is_never_replaced(run: Cli, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not a workbook", encoding="utf-8")
    assert run("sql", "SELECT 1", "--excel", str(tmp_path / name)).exit_code == 2
    assert (tmp_path / name).read_text(encoding="utf-8") == "not a workbook"


def test_without_its_library_the_extra_is_named(run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    result = run("sql", "SELECT 1", "--excel", str(tmp_path / "a.xlsx"))
    assert result.exit_code == 2
    check_user_text(result.stderr)
