"""Which files make the catalogue: what can't be read, or is not read, is a mistake and no withdrawal of its videos."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extend_pipeline.config.load import Configuration, read_configuration
from extend_pipeline.config.model.catalogue import VideoIndex
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import NOW, entry, source, write_home
from extend_pipeline_tests.support.user_texts import check_user_text


def read(home: Path, *, keep: bool = False) -> Configuration:
    """Return the configuration of a home, mistakes included."""
    return read_configuration(Settings.for_home(home), PROVIDERS, now=NOW, keep=keep)


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
