"""The valid entries of a catalogue with mistakes are planned; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from extend_pipeline.cli import cli
from extend_pipeline.sandbox import SandboxConfig, running_sandbox
from extend_pipeline_tests.support.home.homes import video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text


def test_valid_entries_are_planned_beside_the_mistakes_and_the_exit_code_is_wrong_use(tmp_path: Path) -> None:
    old = video("too-old")
    old["source"]["created_at"] = "2026-01-01T00:00:00Z"
    wrong = video("wrong-model")
    wrong["source"]["model"] = "kling-v2-1"
    branch = {"key": "of-the-wrong-one", "source": {"branch_of": "wrong-model", "hop": 1}, "extend": {"steps": 1}}
    home = write_home(tmp_path / "home", "http://127.0.0.1:9", [video("fine"), old, wrong, branch])
    result = CliRunner().invoke(cli, ["--home", str(home), "plan"])
    assert result.exit_code == 2
    assert "fine" in result.stdout
    check_user_text(result.stdout[result.stdout.index("too-old: ") :])
    check_user_text(result.stderr)
    assert "of-the-wrong-one" not in result.stdout
    assert sorted(path.name for path in home.iterdir()) == ["accounts.yaml", "catalog.yaml"]


def test_without_a_valid_entry_only_the_mistakes_are_shown(tmp_path: Path) -> None:
    wrong = video("wrong-model")
    wrong["source"]["model"] = "kling-v2-1"
    home = write_home(tmp_path / "home", "http://127.0.0.1:9", [wrong])
    result = CliRunner().invoke(cli, ["--home", str(home), "plan"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "wrong-model" in result.stderr


def test_with_measure_the_sources_are_read_and_still_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SandboxConfig(width=96, height=64, fps=6)
    monkeypatch.setenv("VIDU_KEY", config.vidu.key)
    with running_sandbox(tmp_path / "sandbox", config) as sandbox:
        lengths = {"short": 3.0, "long": 61.0, "right": 5.0}
        sandbox.seed([{"provider": "vidu", "video_id": key, "duration": length} for key, length in lengths.items()])
        urls = {key: sandbox.source_url(key) for key in lengths} | {"nowhere": f"{sandbox.base_url}/nowhere.mp4"}
        extend = {"steps": 1, "prompt": "on", "model": "viduq2-turbo"}
        entries = [
            {"key": key, "account": "v", "source": {"video_url": url}, "extend": extend} for key, url in urls.items()
        ]
        vidu = {
            "name": "v",
            "provider": "vidu",
            "base_url": sandbox.base_url,
            "credentials": {"api_key_env": "VIDU_KEY"},
            "budget": {"per_day": 10, "total": 10},
            "allow_local": True,
        }
        home = write_home(tmp_path / "home", sandbox.base_url, entries, accounts=[vidu])
        plain = CliRunner().invoke(cli, ["--home", str(home), "plan"])
        measured = CliRunner().invoke(cli, ["--home", str(home), "plan", "--measure"])
        assert sandbox.charges()["charges"] == []
    assert (plain.exit_code, measured.exit_code) == (0, 1)
    check_user_text(plain.stdout[plain.stdout.index("short, long") :])
    check_user_text(measured.stdout[measured.stdout.index("short: ") :])
    assert "right: " not in measured.stdout
    assert sorted(path.name for path in home.iterdir()) == ["accounts.yaml", "catalog.yaml"]
