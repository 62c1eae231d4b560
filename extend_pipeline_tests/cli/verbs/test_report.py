"""`report`: where the page is, what it is about, and each way in which it can't be written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from extend_pipeline.warehouse.read import meta
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.report.page import Page
from extend_pipeline_tests.support.home.homes import video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Return a home with a published file and nothing in it."""
    home = write_home(tmp_path_factory.mktemp("published") / "home", "http://127.0.0.1:9", [video("one")])
    cli = Cli(home)
    assert cli("publish").exit_code == 0
    return cli


def test_it_lies_beside_the_warehouse_and_tells_what_was_published(home_of: Callable[..., Cli]) -> None:
    run = home_of(
        video("dawn", extend={"steps": 2, "prompt": "x"}), video("港口晨曦", extend={"steps": 1, "prompt": "x"})
    )
    assert run("advance", "--until-idle").exit_code == 0
    result = run("report")
    assert result.exit_code == 0, result.output
    page = run.home / "state" / "report.html"
    size = f"{page.stat().st_size:,}"
    check_user_text(result.stdout, without={str(page): "PAGE", f"{size} bytes": "SIZE", event_of(run): "event N"})
    assert page.stat().st_mode & 0o077 == 0  # as private as the state
    shown = Page.of(page)
    assert shown.cells("money", "currency", "spent") == [["USD", "0.84"]]
    assert [row[:2] for row in shown.cells("videos-USD", "video", "hops")] == [["dawn", "2"], ["港口晨曦", "1"]]
    assert [path.name for path in page.parent.iterdir() if ".part" in path.name] == []


def event_of(run: Cli) -> str:
    """Return the words for the last event of a home's published file."""
    about = meta(run.home / "state" / "warehouse.duckdb")
    assert about is not None
    return f"event {about.ledger_seq}"


def test_it_is_written_elsewhere_on_request_in_place_of_an_older_one(published: Cli, tmp_path: Path) -> None:
    page = tmp_path / "november.HTML"
    page.write_text("an older one", encoding="utf-8")
    assert published("report", "--out", str(page)).exit_code == 0
    assert Page.of(page).text.startswith("Video extensions")
    assert [path.name for path in tmp_path.iterdir()] == ["november.HTML"]


@pytest.mark.parametrize("name", ["ledger.sqlite", "report", "-"])
def test_a_file_that_is_no_page_is_never_replaced(published: Cli, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not a page", encoding="utf-8")
    result = published("report", "--out", str(tmp_path / name))
    assert result.exit_code == 2
    check_user_text(result.stderr)
    assert (tmp_path / name).read_text(encoding="utf-8") == "not a page"


def test_a_place_that_can_t_be_written_is_named(published: Cli, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    for out in ("no/folder.html", "folder.html", f"{'long' * 70}.html"):
        result = published("report", "--out", str(tmp_path / out))
        assert result.exit_code == 2
        check_user_text(result.stderr, without={str(tmp_path): "DIR", "long" * 70: "LONG"})


def test_before_the_first_publish_it_says_what_to_run(tmp_path: Path) -> None:
    run = Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", [video("one")]))
    result = run("report")
    assert result.exit_code == 2
    check_user_text(result.stderr)
    assert run.files() == ["accounts.yaml", "catalog.yaml"]


def test_without_altair_it_names_the_extra(published: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    result = published("report")
    assert result.exit_code == 2
    check_user_text(result.stderr)


def test_a_file_of_another_version_or_of_another_program_is_published_anew(tmp_path: Path) -> None:
    run = Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", [video("one")]))
    assert run("publish").exit_code == 0
    path = run.home / "state" / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "DROP VIEW cost_per_second; UPDATE _meta SET schema_version = 'old', package_version = '0.1'"
        )
    result = run("report")
    assert result.exit_code == 2
    check_user_text(result.stderr)
    path.write_bytes(b"no database" * 1_000)
    result = run("report")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith("publish.")
    assert not (run.home / "state" / "report.html").exists()
