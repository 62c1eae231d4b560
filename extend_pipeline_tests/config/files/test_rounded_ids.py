"""An id that a spreadsheet may have rounded is refused until it is confirmed, in YAML and in CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.fields.ids import zeros_beyond_15_digits
from extend_pipeline.config.issues import ConfigIssue
from extend_pipeline_tests.config.written import ACCOUNTS, CREDIT, account_of, entry, load, only_problem, write_home

EXACT = "827942411241804000"
HEADER = "key,account,source.video_id,source.model,source.mode,source.duration,extend.to"
SOURCES = {
    "kling-main": ("video_id", "{video_id: ID, model: kling-v1-6, mode: std, duration: 5}"),
    "kling-gateway": ("task_id", "{video_id: 8a, task_id: ID, model: kling-v1-6, mode: std, duration: 5}"),
    "luma": ("task_id", "{task_id: ID, duration: 5}"),
}


def home(folder: Path, written: str, *, account: str = "kling-main", exact: str = "") -> Path:
    """Write a home with one entry of an account whose id is `written`."""
    source = SOURCES[account][1].replace("ID", written)
    source = f"{source[:-1]}, exact: {exact}}}" if exact else source
    accounts = ACCOUNTS + "".join(
        account_of(provider, CREDIT).removeprefix("accounts:\n") for provider in ("kling-gateway", "luma")
    )
    extend = "{to: 30, prompt: fog}"
    return write_home(folder, entry(source=source, extend=extend, account=account), accounts=accounts)


def table(folder: Path, cell: str, *, exact: str | None = None) -> Path:
    """Write a home with one row of a sheet whose id is in `cell`."""
    more = ("", "") if exact is None else (",source.exact", f",{exact}")
    row = f"one,kling-main,{cell},kling-v1-6,std,5.1,30{more[1]}"
    return write_home(folder, table=f"{HEADER}{more[0]}\n{row}\n")


def check_names_place(problem: ConfigIssue, file: str, line: int, field: str, value: str) -> None:
    """Assert that the problem names file, line, video, field and the written value."""
    assert (problem.file, problem.line, problem.subject, problem.field) == (file, line, "one", field)
    assert problem.given == value


@pytest.mark.parametrize("account", SOURCES)
@pytest.mark.parametrize("written", [EXACT, f'"{EXACT}"', f"'{EXACT}'", "8279424112418030", "1234567890123450000"])
def test_an_id_with_zeros_beyond_its_15th_digit_is_refused_until_exact_confirms_it(
    account: str, written: str, tmp_path: Path
) -> None:
    problem = only_problem(home(tmp_path / "refused", written, account=account))
    check_names_place(problem, "catalog.yaml", 3, f"source.{SOURCES[account][0]}", written.strip("\"'"))
    assert "exact: true" in problem.hint
    confirmed = load(home(tmp_path / "confirmed", written, account=account, exact="true"))
    plain = load(home(tmp_path / "plain", "827942411241803822", account=account))
    field = SOURCES[account][0]
    source = confirmed.catalogue.videos["one"].source
    assert getattr(source, field) == written.strip("\"'")
    assert source.model_dump().keys() == plain.catalogue.videos["one"].source.model_dump().keys()
    assert "exact" not in source.model_dump()


@pytest.mark.parametrize(
    "cell",
    [
        f"{EXACT}.0",
        "8.27942E+17",
        "8E+17",
        "8.27942411241804e+17",
        '"8,27942E+17"',
        '"827,942,411,241,804,000"',
        "827.942.411.241.804.000",
        f'"{EXACT},00"',
    ],
)
def test_a_number_in_place_of_an_id_is_refused_with_and_without_exact(cell: str, tmp_path: Path) -> None:
    for exact in (None, "true"):
        problem = only_problem(table(tmp_path / f"csv-{exact}", cell, exact=exact))
        check_names_place(problem, "catalog.csv", 2, "source.video_id", cell.strip('"'))
    problem = only_problem(home(tmp_path / "yaml", cell if cell.startswith('"') else f'"{cell}"'))
    check_names_place(problem, "catalog.yaml", 3, "source.video_id", cell.strip('"'))


def test_a_sheet_confirms_an_id_in_its_own_column(tmp_path: Path) -> None:
    problem = only_problem(table(tmp_path / "refused", EXACT))
    check_names_place(problem, "catalog.csv", 2, "source.video_id", EXACT)
    assert "source.exact" in problem.hint
    assert only_problem(table(tmp_path / "no", EXACT, exact="FALSE")).field == "source.video_id"
    assert load(table(tmp_path / "yes", EXACT, exact="TRUE")).catalogue.videos["one"].source.source_id == EXACT
    assert only_problem(table(tmp_path / "typo", EXACT, exact="ture")).field == "source.exact"


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("827942411241803822", "827942411241803822"),
        ("000827942411241803822", "000827942411241803822"),
        ('"=""827942411241803822"""', "827942411241803822"),
        ("'827942411241803822", "827942411241803822"),
        ("827942411241800", "827942411241800"),
        ("4665a07c-7641-4809-a133-107862010000", "4665a07c-7641-4809-a133-107862010000"),
    ],
)
def test_an_id_that_does_not_look_rounded_is_read_exactly_and_without_the_quotes_of_a_sheet(
    cell: str, read: str, tmp_path: Path
) -> None:
    assert load(table(tmp_path, cell)).catalogue.videos["one"].source.source_id == read


def test_digits_are_counted_from_the_first_that_is_no_zero() -> None:
    texts = ("827942411241804000", "827942411241804001", "827942411241804", "000827942411241804", "0", "a000", "")
    assert [zeros_beyond_15_digits(text) for text in texts] == [3, None, 0, 0, 0, 0, 0]
