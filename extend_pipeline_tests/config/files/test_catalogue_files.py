"""Which files make the catalogue: what can't be read, or is not read, is a mistake and no withdrawal of its videos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.cli import cli
from extend_pipeline.commands.shared.errors import secrets_of
from extend_pipeline.config import load
from extend_pipeline.config.home_timezone import home_timezone
from extend_pipeline.config.load import MAX_READS, Configuration, read_configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import Catalogue, VideoIndex
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.files.test_csv import HEADER, ROW
from extend_pipeline_tests.config.test_frames import home as write_framed
from extend_pipeline_tests.config.test_frames import png
from extend_pipeline_tests.config.written import NOW, entry, source, write_home
from extend_pipeline_tests.support.user_texts import check_user_text


def read(home: Path, *, keep: bool = False, now: datetime = NOW) -> Configuration:
    """Return the configuration of a home, mistakes included."""
    return read_configuration(Settings.for_home(home), PROVIDERS, now=now, keep=keep)


@pytest.mark.parametrize("name", ["a.yaml", "spring"])
def test_a_link_that_leads_in_a_circle_is_a_mistake_and_hides_no_other_file(name: str, tmp_path: Path) -> None:
    home = write_home(tmp_path, entry())
    (home / "catalog").mkdir()
    (home / "catalog" / name).symlink_to(name)
    configuration = read(home)
    (problem,) = configuration.problems
    assert problem.file == f"catalog/{name}"
    check_user_text(problem.text())
    assert list(configuration.catalogue.videos) == ["one"]


def test_a_folder_whose_name_is_no_utf_8_is_read_and_remembered(tmp_path: Path) -> None:
    home = write_home(tmp_path, entry())
    folder = home / "catalog" / os.fsdecode(b"fr\xfch")
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("videos:\n" + entry("two", source=source(video_id="827942411241803823")))
    (home / "state").mkdir()
    for _ in range(2):
        configuration = read(home, keep=True)
        assert configuration.problems == ()
        assert isinstance(configuration.catalogue.videos, VideoIndex)
        assert [(v.key, v.file) for v in configuration.catalogue.each()] == [
            ("one", "catalog.yaml"),
            ("two", "catalog/fr\\xfch/a.yaml"),
        ]
    (folder / "a.yaml").write_text("videos: [")
    (problem,) = read(home, keep=True).problems
    assert problem.file == "catalog/fr\\xfch/a.yaml"


@pytest.mark.parametrize("name", ["catalog.yaml", "end.png"])
@pytest.mark.parametrize("times", [1, MAX_READS - 1, MAX_READS])
def test_a_file_that_is_written_each_time_it_is_read_is_a_mistake(
    name: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write_framed(tmp_path, "end.png")
    (home / "end.png").write_bytes(png(16, 9))
    (home / "state").mkdir()
    reads = 0

    def warnings_on(catalogue: Catalogue, accounts: Mapping[str, Account]) -> Iterable[str]:
        nonlocal reads
        reads += 1
        if reads <= times:  # all files have been read by now
            with (home / name).open("ab") as file:
                file.write(b"# more\n")
        return load_warnings_on(catalogue, accounts)

    load_warnings_on = load.warnings_on
    monkeypatch.setattr(load, "warnings_on", warnings_on)
    configuration = read(home, keep=True)
    assert list(configuration.catalogue.videos) == ["v0"]
    assert reads == min(times + 1, MAX_READS)
    is_settled = times < MAX_READS
    assert bool(configuration.catalogue.digest) == (home / "state" / "catalogue.sqlite").exists() == is_settled
    if not is_settled:
        (problem,) = configuration.problems
        assert problem.file == (name if name == "catalog.yaml" else str(home / name))
        check_user_text(problem.text())
    assert read(home, keep=True).problems == ()


def write_at(path: Path, text: str, seconds: float) -> None:
    """Write a file so long after NOW."""
    path.write_text(text)
    at = NOW.timestamp() + seconds
    os.utime(path, (at, at))


CUT = f"{HEADER},extend.prompt\n{ROW},the fog lifts\n{ROW.replace('one', 'two').replace('822', '823')},the fo"


@pytest.mark.parametrize("is_known", [False, True])
def test_a_table_that_ends_within_a_cell_is_still_being_written(is_known: bool, tmp_path: Path) -> None:
    home = write_home(tmp_path, entry("zero", source=source(video_id="7")))
    (home / "catalog").mkdir()
    (home / "state").mkdir()
    sheet = home / "catalog" / "b.csv"
    if is_known:
        write_at(sheet, CUT[: CUT.index("two")], -60)
        assert list(read(home, keep=True).catalogue.videos) == ["zero", "one"]
    write_at(sheet, CUT, 0)
    for seconds in (-5, 0, 9.9):
        configuration = read(home, keep=True, now=NOW + timedelta(seconds=seconds))
        (problem,) = configuration.problems
        assert problem.file == "catalog/b.csv"
        assert configuration.catalogue.digest == ""
        check_user_text(problem.text())
    for _ in range(2):
        configuration = read(home, keep=True, now=NOW + timedelta(seconds=10))
        assert configuration.problems == ()
        assert list(configuration.catalogue.videos) == ["zero", "one", "two"]


@pytest.mark.parametrize(("text", "age"), [(f"{CUT}g\n", 0), (f"{CUT}g\r", 0), (CUT, 10), (CUT, -10), (CUT, -86_400)])
def test_a_table_with_a_line_end_or_an_older_or_a_wrong_date_is_whole(text: str, age: float, tmp_path: Path) -> None:
    home = write_home(tmp_path, table="")
    write_at(home / "catalog.csv", text, -age)
    assert list(read(home).catalogue.videos) == ["one", "two"]
    assert read(home).problems == ()


@pytest.mark.parametrize("name", ["catalog.yml", "catalogue.yaml", "catalogue.csv", "catalog.CSV"])
def test_a_misnamed_file_beside_what_is_read_is_a_mistake(name: str, tmp_path: Path) -> None:
    home = write_home(tmp_path, entry())
    (home / "catalog").mkdir()
    (home / "catalog" / "spring.yml").write_text("videos:\n" + entry("two", source=source(video_id="9")))
    assert read(home).problems == ()
    (home / "catalog.yaml").rename(home / name)
    configuration = read(home)
    (problem,) = configuration.problems
    assert problem.file == name
    check_user_text(problem.text())
    assert list(configuration.catalogue.videos) == ["two"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/null")], ids=["pipe", "device"])
@pytest.mark.parametrize("name", ["catalog.yaml", "catalog/b.csv", "catalog/known.yaml", "accounts.yaml"])
def test_a_file_that_is_no_regular_one_is_a_mistake_and_not_waited_for(
    name: str, make: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write_home(tmp_path, entry())
    (home / "catalog").mkdir()
    (home / "catalog" / "known.yaml").write_text("videos:\n" + entry("two", source=source(video_id="7")))
    (home / "state").mkdir()
    assert read(home, keep=True).problems == ()
    (home / name).unlink(missing_ok=True)
    make(home / name)
    (problem,) = read(home, keep=True).problems
    assert problem.file == name
    check_user_text(problem.text())
    assert home_timezone(Settings.for_home(home)) == UTC_ZONE
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", str(home))
    assert isinstance(secrets_of(), tuple)
    result = CliRunner().invoke(cli, ["--home", str(home), "plan"])
    assert (result.exit_code, name in result.output) == (2, True)


NOT_READ = ("b.csv.txt", "b.cvs", "b.tsv", "b.xls", "B.XLSX", "b.ods", "b.numbers", "b.json", "b.yml.1", "b.yaml.part")
COPIES = (".b.csv.txt", "~$b.xlsx", "b.csv~", "#b.csv#", "b.csv.swp", "b.yaml.bak", "b.csv.orig", "b.csv.tmp")
OTHERS = ("README.txt", "README.md", "readme", "frame.png", "csv")


@pytest.mark.parametrize("name", NOT_READ)
def test_a_file_of_the_folder_whose_name_hides_it_is_a_mistake(name: str, tmp_path: Path) -> None:
    home = write_home(tmp_path, entry("zero", source=source(video_id="7")))
    folder = home / "catalog" / "spring"
    folder.mkdir(parents=True)
    (folder / "b.csv").write_text(f"{HEADER}\n{ROW}\n")
    assert read(home).problems == ()
    (folder / "b.csv").rename(folder / name)
    configuration = read(home)
    (problem,) = configuration.problems
    assert problem.file == f"catalog/spring/{name}"
    check_user_text(problem.text())
    assert list(configuration.catalogue.videos) == ["zero"]


def test_copies_and_other_files_of_the_folder_are_no_mistake(tmp_path: Path) -> None:
    home = write_home(tmp_path, entry())
    (home / "catalog").mkdir()
    for name in (*COPIES, *OTHERS):
        (home / "catalog" / name).write_text("")
    assert read(home).problems == ()


@pytest.mark.parametrize("name", ["catalogue", "Catalog"])
def test_a_misnamed_folder_beside_what_is_read_is_a_mistake(name: str, tmp_path: Path) -> None:
    home = write_home(tmp_path, entry())
    folder = home / name / "2026"
    folder.mkdir(parents=True)
    (folder / "end.png").write_bytes(b"")
    assert read(home).problems == ()
    (folder / "spring.yml").write_text("videos:\n" + entry("two", source=source(video_id="9")))
    configuration = read(home)
    (problem,) = configuration.problems
    assert problem.file == name
    check_user_text(problem.text())
    assert list(configuration.catalogue.videos) == ["one"]
    (home / "catalog").symlink_to(name)
    assert read(home).problems == ()


def test_another_name_of_what_is_read_is_no_mistake(tmp_path: Path) -> None:
    home = write_home(tmp_path, entry())
    (home / "catalog.yml").symlink_to("catalog.yaml")
    (home / "catalogue.yaml").hardlink_to(home / "catalog.yaml")
    assert read(home).problems == ()
    (home / "catalog.yaml").unlink()
    assert [problem.file for problem in read(home).problems] == ["catalog.yml", "catalogue.yaml"]
