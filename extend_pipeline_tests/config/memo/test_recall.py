"""A remembered catalogue is the one that the files give, after every edit, and only the edited files are parsed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from extend_pipeline.config.files import entries
from extend_pipeline.config.files.located import Node
from extend_pipeline.config.issues import ConfigIssue
from extend_pipeline.config.load import Configuration, read_configuration
from extend_pipeline.config.model.catalogue import VideoIndex
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.declarations import declarations
from extend_pipeline.ledger.write.catalog_sync import Declaration
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.test_frames import png
from extend_pipeline_tests.config.written import SOURCE, entry, source
from extend_pipeline_tests.golden.entries import write_home as write_golden_home

NOW = datetime(2027, 6, 1, tzinfo=UTC)  # long after everything was written, as marks of files need it
ACCOUNTS = """\
accounts:
  - name: kling-main
    provider: kling
    base_url: https://api-singapore.klingai.com
    credentials: {access_key_env: KLING_ACCESS_KEY, secret_key_env: KLING_SECRET_KEY}
    budget: {per_day: 100, total: 2000}
  - name: kling-two
    provider: kling
    base_url: https://api-singapore.klingai.com
    credentials: {access_key_env: SECOND_ACCESS_KEY, secret_key_env: SECOND_SECRET_KEY}
    budget: {per_day: 100, total: 2000}
  - name: gateway
    provider: kling-gateway
    base_url: https://api.example.com
    credentials: {api_key_env: GATEWAY_KEY}
    price: {unit: credit, per_extension: 4, unit_price: 0.1, currency: USD}
    budget: {per_day: 100, total: 2000}
  - name: v
    provider: vidu
    base_url: https://api.modelverse.cn
    credentials: {api_key_env: THE_KEY}
    budget: {per_day: 100, total: 2000}
"""
FRAMED = "{video_url: 'https://media.example.com/a.mp4', duration: 5}"
TABLE = (
    "key;account;source.video_id;source.model;source.mode;source.duration;source.created_at;extend.to\n"
    "sheet;kling-main;827942411241803824;kling-v1-6;std;5,1;2026-11-02;30,5\n"
)


def read(home: Path, *, keep: bool = True) -> Configuration:
    """Return the configuration of a home, remembered in its state folder."""
    (home / "state").mkdir(exist_ok=True)
    return read_configuration(Settings.for_home(home), PROVIDERS, now=NOW, keep=keep)


def afresh(home: Path, scratch: Path) -> Configuration:
    """Return the configuration of a copy of the home that remembers nothing."""
    shutil.copytree(home, scratch, ignore=shutil.ignore_patterns("state"), symlinks=True)
    return read_configuration(Settings.for_home(scratch), PROVIDERS, now=NOW)


def declared(configuration: Configuration) -> dict[str, Declaration]:
    """Return what the ledger stores of each video."""
    return {entry.video_key: entry for entry in declarations(configuration)}


def check_same(remembered: Configuration, plain: Configuration) -> None:
    """Compare a catalogue that is remembered with one that was read."""
    one, other = remembered.catalogue, plain.catalogue
    assert not isinstance(other.videos, VideoIndex)
    assert list(one.videos) == list(other.videos)
    assert len(one.videos) == len(other.videos)
    for key, video in other.videos.items():
        known = one.videos[key]
        params = [read.extend.hop_params(1) for read in (known, video)]
        for read_params in params:  # the copy lies elsewhere
            read_params.pop("last_frame_url", None)
        assert params[0] == params[1]
        assert (known.key, known.account, known.provider, known.source) == (
            video.key,
            video.account,
            video.provider,
            video.source,
        )
        assert (known.file, known.line, known.was, known.again) == (video.file, video.line, video.was, video.again)
    assert declared(remembered) == declared(plain)
    assert remembered.notes == plain.notes
    assert (one.on_change, one.digest) == (other.on_change, other.digest)
    assert (one.accounts(), one.renamed()) == (other.accounts(), other.renamed())
    assert one.branches() == other.branches()
    assert [video.key for video in one.each()] == [video.key for video in other.each()] == list(other.videos)


def write(home: Path, **files: str) -> Path:
    """Write a home whose catalogue lies in several files, names without their suffix; one is a sheet."""
    (home / "catalog" / "frames").mkdir(parents=True)
    (home / "accounts.yaml").write_text(ACCOUNTS)
    (home / "catalog.yaml").write_text("defaults: {on_change: keep}\nvideos:\n" + entry("root", extend="{steps: 4}"))
    framed = entry(
        "framed", source=FRAMED, extend="{to: 20, model: viduq2-pro, last_frame_url: frames/a.png}", account="v"
    )
    for name, text in {
        "spring": entry("below", source="{branch_of: root, hop: 2}", account=None)
        + entry("again", source=source(video_id="827942411241803825")),
        "summer": entry("deeper", source="{branch_of: below, hop: 1}", account=None),
        "framed": framed,
        **files,
    }.items():
        (home / "catalog" / f"{name}.yaml").write_text(f"videos:\n{text}")
    (home / "catalog" / "sheet.csv").write_text(TABLE)
    (home / "catalog" / "frames" / "a.png").write_bytes(png(16, 9))
    return home


def test_a_thousand_videos_of_all_providers_are_remembered_as_they_were_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_golden_home(home)
    plain = afresh(home, tmp_path / "copy")
    check_same(read(home), plain)
    again = read(home, keep=False)
    assert isinstance(again.catalogue.videos, VideoIndex)
    check_same(again, plain)


def _replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(home: Path) -> None:
        text = (home / name).read_text()
        assert old in text
        (home / name).write_text(text.replace(old, new))

    return edit


def _append(name: str, text: str) -> Callable[[Path], object]:
    return lambda home: (home / name).write_text((home / name).read_text() + text)


def _rename_the_root(home: Path) -> None:
    _replace("catalog.yaml", "key: root", "key: top\n    was: root")(home)
    _replace("catalog/spring.yaml", "branch_of: root", "branch_of: top")(home)


def _move_an_entry(home: Path) -> None:
    moved = entry("again", source=source(video_id="827942411241803825"))
    _replace("catalog/spring.yaml", moved, "")(home)
    _append("catalog/summer.yaml", moved)(home)


def _same_mark(home: Path) -> None:
    path = home / "catalog/frames/a.png"
    before = path.stat()
    path.write_bytes(png(9, 16))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _another_link(home: Path) -> None:
    folder = home / "catalog/frames"
    (folder / "b.png").write_bytes(png(20, 10))
    (folder / "a.png").unlink()
    (folder / "a.png").symlink_to("b.png")


EDITS: dict[str, Callable[[Path], object]] = {
    "a prompt": _replace("catalog/spring.yaml", "{to: 30}", "{to: 30, prompt: fog}"),
    "the parent of branches in other files": _replace("catalog.yaml", "{steps: 4}", "{steps: 5, prompt: rain}"),
    "the source of a root": _replace(
        "catalog.yaml", SOURCE, source(video_id="7", model="v1.5", mode="pro", duration="9")
    ),
    "the account of a root": _replace("catalog.yaml", "account: kling-main", "account: kling-two"),
    "the provider of a root": _replace("catalog.yaml", "account: kling-main", "account: gateway"),
    "an entry": _append("catalog/summer.yaml", entry("new", source=source(video_id="827942411241803826"))),
    "an entry that buys the same": _append("catalog/summer.yaml", entry("same")),
    "an entry that buys the same again": _append("catalog/summer.yaml", entry("same") + "    again: true\n"),
    "an entry less": lambda home: (home / "catalog/summer.yaml").write_text("videos: []\n"),
    "a key": _replace("catalog/summer.yaml", "key: deeper", "key: other\n    was: deeper"),
    "a key that branches name": _rename_the_root,
    "the file of an entry": _move_an_entry,
    "a file less": lambda home: (home / "catalog/summer.yaml").unlink(),
    "a file's name": lambda home: (home / "catalog/summer.yaml").rename(home / "catalog/autumn.yaml"),
    "the order of files": lambda home: (home / "catalog/spring.yaml").rename(home / "catalog/zz.yaml"),
    "a file in a folder": lambda home: (home / "catalog/summer.yaml").rename(home / "catalog/frames/s.yaml"),
    "the sheet": _replace("catalog/sheet.csv", "30,5", "29,5"),
    "lines only": _replace("catalog/spring.yaml", "videos:", "# spring\nvideos:"),
    "an image": lambda home: (home / "catalog/frames/a.png").write_bytes(png(20, 9)),
    "an image under the same date": _same_mark,
    "the image that a link leads to": _another_link,
    "the defaults": _replace("catalog.yaml", "on_change: keep", "on_change: pay"),
    "the accounts": _replace("accounts.yaml", "total: 2000}", "total: 2000}\n    extend: {tolerance: 1}"),
    "nothing": lambda home: None,
}
ALL_READ = ("the account of a root", "the provider of a root", "the accounts", "nothing")
"""Edits after which all files are read, or none has to be."""


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_after_an_edit_the_catalogue_is_that_of_the_files(edit: Callable[[Path], object], tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    before = read(home)
    known = declared(before)
    edit(home)
    plain = afresh(home, tmp_path / "copy")
    check_same(read(home, keep=False), plain)
    after = read(home)
    assert isinstance(after.catalogue.videos, VideoIndex)
    check_same(after, plain)
    check_same(read(home), plain)
    change = after.catalogue.change
    if change is not None:  # what is not named there must be the same, because it is not compared with the ledger
        assert change.since == before.catalogue.digest
        now = declared(after)
        assert all(known.get(key) == now.get(key) for key in known.keys() | now.keys() if key not in change.keys)
    else:
        assert edit in [EDITS[name] for name in ALL_READ]
    assert (after.catalogue.digest == before.catalogue.digest) == (edit is EDITS["nothing"])


MISTAKES: dict[str, Callable[[Path], object]] = {
    "a key of another file": _append("catalog/summer.yaml", entry("root", source=source(video_id="1"))),
    "an earlier key that is one still": _replace("catalog/summer.yaml", "key: deeper", "key: deeper\n    was: root"),
    "a branch of nothing": _replace("catalog.yaml", "key: root", "key: other"),
    "a hop that the parent won't have": _replace("catalog.yaml", "steps: 4", "steps: 1"),
    "a circle": _replace("catalog.yaml", "source: {video_id", "source: {branch_of: deeper, hop: 1} #"),
    "an account that isn't there": _replace("catalog/spring.yaml", "account: kling-main", "account: kling"),
    "no YAML": _append("catalog/spring.yaml", "}"),
    "an empty file": lambda home: (home / "catalog/empty.yaml").write_text(""),
    "no image": lambda home: (home / "catalog/frames/a.png").unlink(),
    "an image of nothing": lambda home: (home / "catalog/frames/a.png").write_bytes(b"text"),
    "other defaults": _replace("catalog/summer.yaml", "videos:", "defaults: {on_change: pay}\nvideos:"),
    "a budget less": _replace("accounts.yaml", "    budget: {per_day: 100, total: 2000}\n", ""),
    "a link to a folder": lambda home: (home / "catalog/more").symlink_to(home / "catalog/frames"),
    "a link that leads in a circle": lambda home: (home / "catalog/more.yaml").symlink_to("more.yaml"),
}


def _texts(problems: tuple[ConfigIssue, ...], home: Path) -> list[str]:
    return [problem.text().replace(str(home), "HOME") for problem in problems]


@pytest.mark.parametrize("edit", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_reported_as_if_nothing_was_remembered(edit: Callable[[Path], object], tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    whole = read(home)
    kept = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and "state" not in path.parts}
    edit(home)
    plain, after = afresh(home, tmp_path / "copy"), read(home)
    assert plain.problems
    assert _texts(after.problems, home) == _texts(plain.problems, tmp_path / "copy")
    assert list(after.catalogue.videos) == list(plain.catalogue.videos)
    assert after.catalogue.digest == ""
    shutil.rmtree(home / "catalog")
    for path, content in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert read(home).catalogue.digest == whole.catalogue.digest


def test_two_entries_of_one_key_are_reported_with_both_places(tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    read(home)
    MISTAKES["a key of another file"](home)
    (problem,) = read(home).problems
    assert (problem.file, problem.line, problem.field) == ("catalog/summer.yaml", 5, "key")
    assert "catalog.yaml:3" in problem.message


def test_only_the_file_that_was_edited_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def read_yaml(text: str, file: str) -> tuple[Node | None, list[ConfigIssue]]:
        parsed.append(file)
        return entries_read_yaml(text, file)

    entries_read_yaml = entries.read_yaml
    monkeypatch.setattr(entries, "read_yaml", read_yaml)
    home = write(tmp_path / "home")

    def parsed_now() -> list[str]:
        parsed.clear()
        assert read(home).problems == ()
        return [name for name in parsed if name.startswith("catalog")]

    assert len(parsed_now()) == 4
    assert parsed_now() == []
    EDITS["a prompt"](home)
    assert parsed_now() == ["catalog/spring.yaml"]
    EDITS["an image"](home)
    assert parsed_now() == ["catalog/framed.yaml"]
    EDITS["a file less"](home)
    assert parsed_now() == []
    EDITS["the accounts"](home)
    assert len(parsed_now()) == 3


def _forget_rules(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = 'of another version' WHERE name = 'rules'")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"no database"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.unlink(),
        _forget_rules,
    ],
)
def test_a_snapshot_that_cannot_be_used_is_made_anew(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    whole = read(home)
    spoil(home / "state" / "catalogue.sqlite")
    after = read(home)
    assert after.catalogue.digest == whole.catalogue.digest
    check_same(after, afresh(home, tmp_path / "copy"))
    assert read(home).problems == ()
    assert [path.name for path in (home / "state").iterdir()] == ["catalogue.sqlite"]


def test_a_source_whose_time_has_not_come_is_not_remembered(tmp_path: Path) -> None:
    home = write(tmp_path / "home", soon=entry("soon", source=source(created_at="2027-06-01T06:00:00Z", video_id="9")))
    for _ in range(2):
        configuration = read(home)
        assert configuration.problems == ()
        assert not isinstance(configuration.catalogue.videos, VideoIndex)
        assert any("catalog/soon.yaml:3" in note for note in configuration.notes)


def test_nothing_is_written_unless_it_is_asked_for(tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    read(home, keep=False)
    assert list((home / "state").iterdir()) == []
    shutil.rmtree(home / "state")
    configuration = read_configuration(Settings.for_home(home), PROVIDERS, now=NOW, keep=True)
    assert configuration.catalogue.digest
    assert not (home / "state").exists()


def test_what_an_open_catalogue_says_does_not_change(tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    before = read(home).catalogue
    planned = before.videos["framed"].extend.hop_params(1)["last_frame_sha256"]
    EDITS["an image"](home)
    after = read(home).catalogue
    assert after.videos["framed"].extend.hop_params(1)["last_frame_sha256"] != planned
    again = read(home).catalogue
    assert before.of(["framed"])[0].extend.hop_params(1)["last_frame_sha256"] == planned
    assert json.dumps(sorted(again.videos)) == json.dumps(sorted(before.videos))


def test_a_catalogue_with_a_path_that_is_no_utf_8_is_read_each_time(tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    read(home)
    image = home / "catalog" / "frames" / "a.png"
    target = image.rename(image.with_name(os.fsdecode(b"\xff.png")))
    image.symlink_to(target.name)
    for copy in ("one", "two"):
        configuration = read(home)
        assert configuration.problems == ()
        assert not isinstance(configuration.catalogue.videos, VideoIndex)
        check_same(configuration, afresh(home, tmp_path / copy))
        assert [path.name for path in (home / "state").iterdir()] == ["catalogue.sqlite"]


def test_a_catalogue_is_recalled_without_a_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(tmp_path / "home")
    read(home)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "full")])
    with pytest.raises(FileNotFoundError):
        tempfile.gettempdir()
    assert isinstance(read(home, keep=False).catalogue.videos, VideoIndex)
    EDITS["a prompt"](home)
    check_same(read(home, keep=False), afresh(home, tmp_path / "copy"))
