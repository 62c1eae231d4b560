"""What docs/tutorial.md shows of one's own videos is what the commands print for its own files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.cli.conftest import CONFIG, Cli
from extend_pipeline_tests.support.home.homes import seeds

TUTORIAL: Final = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")


def written(name: str) -> Any:
    """Return the tutorial's file with that field at its top."""
    blocks = (yaml.safe_load(block) for block in re.findall(r"(?s)```yaml\n(.*?)```", TUTORIAL))
    return next(block for block in blocks if name in block)


def shown(command: str, *, since: str = "") -> list[str]:
    """Return the lines that the tutorial shows after a command, from the first one that begins with `since` on."""
    block = TUTORIAL.partition(f"$ extend-pipeline {command}\n")[2].partition("```")[0]
    lines = block.strip().splitlines()
    return lines[next(number for number, line in enumerate(lines) if line.startswith(since)) :]


def printed(output: str) -> list[str]:
    """Return the lines of an output as the tutorial has them."""
    return [line.rstrip() for line in output.splitlines()]


@pytest.fixture
def run(sandbox: SandboxHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    accounts, catalogue = written("accounts"), written("videos")
    monkeypatch.setenv("KLING_ACCESS_KEY", CONFIG.access_key)
    monkeypatch.setenv("KLING_SECRET_KEY", CONFIG.secret_key)
    accounts["accounts"][0] |= {
        "base_url": sandbox.base_url,
        "allow_local": True,
        "poll": {"first_after": 0.1, "every": 0.1},
    }
    sandbox.seed(seeds(catalogue["videos"]))
    for name, content in (("accounts.yaml", accounts), ("catalog.yaml", catalogue)):
        (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "120")
    return Cli(tmp_path)


def test_the_tutorials_own_videos(run: Cli) -> None:
    doctor = printed(run("doctor").stdout)
    assert set(shown("doctor")[2:]) <= set(doctor)
    assert printed(run("plan").stdout) == shown("plan")
    advanced = printed(run("advance", "--until-idle").stdout)
    end = shown("advance --until-idle", since="done")
    assert advanced[-len(end) :] == end
    catalogue = run.home / "catalog.yaml"
    text = catalogue.read_text(encoding="utf-8")
    catalogue.write_text(text.replace("the cat takes a bow", "the cat takes a bow, and runs"), encoding="utf-8")
    status = run("status")
    assert status.exit_code == 1
    home = f" --home {run.home}"
    assert set(shown("status", since="needs you")) <= set(printed(status.stdout.replace(home, "")))
