"""A catalogue with mistakes is planned all the same, as far as it is sound; nothing is written."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from extend_pipeline.cli import cli
from extend_pipeline_tests.support.homes import video, write_home


def test_what_is_sound_is_planned_beside_the_mistakes_and_the_exit_code_is_wrong_use(tmp_path: Path) -> None:
    old = video("too-old")
    old["source"]["created_at"] = "2026-01-01T00:00:00Z"
    wrong = video("wrong-model")
    wrong["source"]["model"] = "kling-v2-1"
    branch = {"key": "of-the-wrong-one", "source": {"branch_of": "wrong-model", "hop": 1}, "extend": {"steps": 1}}
    home = write_home(tmp_path / "home", "http://127.0.0.1:9", [video("fine"), old, wrong, branch])
    result = CliRunner().invoke(cli, ["--home", str(home), "plan"])
    assert result.exit_code == 2
    assert "fine" in result.stdout
    assert "source expired" in result.stdout
    assert "make the source anew" in result.stdout
    assert "kling-v2-1 is a model whose videos can't be extended" in result.stderr
    assert "of-the-wrong-one" not in result.stdout
    assert sorted(path.name for path in home.iterdir()) == ["accounts.yaml", "catalog.yaml"]


def test_with_nothing_sound_only_the_mistakes_are_told(tmp_path: Path) -> None:
    wrong = video("wrong-model")
    wrong["source"]["model"] = "kling-v2-1"
    home = write_home(tmp_path / "home", "http://127.0.0.1:9", [wrong])
    result = CliRunner().invoke(cli, ["--home", str(home), "plan"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "wrong-model" in result.stderr
