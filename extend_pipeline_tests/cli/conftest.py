"""Fixtures of the command line's tests: a sandbox, homes that point at it, and a way to run verbs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from extend_pipeline.cli import cli
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, running_sandbox
from extend_pipeline_tests.support.home.homes import credentials_env, seeds, write_home

CONFIG = SandboxConfig(run_time=(0.0, 0.2))


class Cli:
    """The command line of one home: its verbs, run in this process or in a new one."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *args: str, **options: Any) -> Result:
        """Run a verb in this process."""
        return CliRunner().invoke(cli, ["--home", str(self.home), *args], **options)

    def json(self, *args: str, code: int = 0) -> Any:
        """Run a verb with --json and return its document."""
        result = self(*args, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a verb in a new process."""
        command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(self.home), *args]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )

    def files(self) -> list[str]:
        """Return the paths of all files below the home, relative to it."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox"), CONFIG) as handle:
        yield handle


@pytest.fixture
def sandbox(shared: SandboxHandle, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxHandle]:
    """A sandbox that a module shares, with its credentials in the environment and no fault armed."""
    for name, value in credentials_env(CONFIG).items():
        monkeypatch.setenv(name, value)
    yield shared
    shared.clear_faults()


@pytest.fixture
def home_of(sandbox: SandboxHandle, tmp_path: Path) -> Callable[..., Cli]:
    """A function that writes a home at the sandbox, plants its sources, and returns its command line."""

    def build(*videos: dict[str, Any], **account: Any) -> Cli:
        sandbox.seed(seeds(videos))
        return Cli(write_home(tmp_path / "home", sandbox.base_url, videos, account))

    return build
