"""Which files make the catalogue: what can't be read, or is not read, is a mistake and no withdrawal of its videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.load import Configuration, read_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import NOW, entry, write_home
from extend_pipeline_tests.support.user_texts import check_user_text


def read(home: Path) -> Configuration:
    """Return the configuration of a home, mistakes included."""
    return read_configuration(Settings.for_home(home), PROVIDERS, now=NOW)


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
