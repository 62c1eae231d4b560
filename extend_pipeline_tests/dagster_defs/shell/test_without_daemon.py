"""The commands of `docs/dagster.md` for a shell or a CI: processes of `dagster` and `dg`, without a daemon."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, SMALL
from extend_pipeline_tests.support.home.homes import credentials_env, seeds, video, write_home

ROOT = Path(__file__).parents[3]
KEYS = ["dawn", "fog", "night", "noon", "rain"]


@dataclass
class Shell:
    """A home, and a DAGSTER_HOME that begins empty."""

    home: Path
    dagster_home: Path
    sandbox: SandboxHandle

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Dagster and return the ended process."""
        environment = {
            **credentials_env(SMALL),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "EXTEND_PIPELINE_HOME": str(self.home),
            "EXTEND_PIPELINE_LINGER_S": "1",
            "DAGSTER_HOME": str(self.dagster_home),
            "HOME": str(self.home),
        }
        program = str(Path(sys.executable).with_name(command))
        return subprocess.run(
            [program, *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def succeeds(self, command: str, *arguments: str) -> str:
        """Run a command that must succeed; return its output."""
        process = self.run(command, *arguments)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout + process.stderr

    def partitions(self) -> list[str]:
        """Return the partitions that the instance has."""
        with dg.DagsterInstance.from_config(str(self.dagster_home)) as instance:
            return list(instance.get_dynamic_partitions("videos"))

    def materialized(self, asset: str) -> set[str]:
        """Return the partitions of an asset that have a materialization."""
        with dg.DagsterInstance.from_config(str(self.dagster_home)) as instance:
            return set(instance.get_materialized_partitions(dg.AssetKey(asset)))

    def bought(self) -> list[str]:
        """Return the sources of all charges, in order."""
        return [charge["video_id"] for charge in self.sandbox.charges()["charges"] if charge["video_id"] in OURS]


OURS = {f"shell-{key}" for key in KEYS}


@pytest.fixture
def shell(tmp_path: Path, sandbox: SandboxHandle) -> Shell:
    """Yield a home of five videos."""
    entries = [video(key, extend=ONE_HOP, source={**video(key)["source"], "video_id": f"shell-{key}"}) for key in KEYS]
    sandbox.seed(seeds(entries))
    home = write_home(tmp_path / "home", sandbox.base_url, entries, {"poll": {"first_after": 0, "every": 0.05}})
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Shell(home, tmp_path / "dagster", sandbox)


@pytest.mark.timeout(600)  # ten processes of Dagster, each of which may take 20 s on a slow machine
def test_one_video_a_range_and_everything(shell: Shell) -> None:
    module = ("-m", "extend_pipeline.definitions")
    one = ("asset", "materialize", *module, "--select", "completed_extensions", "--partition", "fog")
    unknown = shell.run("dagster", *one)
    assert unknown.returncode != 0
    assert "DagsterInvalidSubsetError" in unknown.stdout + unknown.stderr
    assert shell.bought() == []

    shell.succeeds("dagster", "job", "execute", *module, "-j", "partitions_job")
    assert shell.partitions() == KEYS
    assert shell.bought() == []

    shell.succeeds("dagster", *one)
    assert shell.materialized("completed_extensions") == {"fog"}
    ranged = ("asset", "materialize", *module, "--select", "completed_extensions", "--partition-range")
    shell.succeeds("dagster", *ranged, "fog...noon")
    assert shell.materialized("completed_extensions") == {"fog", "night", "noon"}
    launched = ("--assets", "source_videos,completed_extensions", "--partition-range", "noon...rain")
    shell.succeeds("dg", "launch", *module, *launched)
    assert shell.materialized("completed_extensions") == {"fog", "night", "noon", "rain"}
    assert sorted(shell.bought()) == ["shell-fog", "shell-night", "shell-noon", "shell-rain"]

    # a run for everything, and in another DAGSTER_HOME the partitions and what was done before
    shell.succeeds("dg", "launch", *module, "--job", "advance_job")
    assert sorted(shell.bought()) == sorted(OURS)
    shell.dagster_home = shell.dagster_home.with_name("another")
    shell.dagster_home.mkdir()
    shell.succeeds("dagster", "job", "execute", *module, "-j", "advance_job")
    assert shell.partitions() == KEYS
    assert shell.materialized("completed_extensions") == set(KEYS)
    shell.succeeds("dagster", *one)
    assert sorted(shell.bought()) == sorted(OURS)


def test_a_catalogue_with_mistakes_ends_with_1_and_names_them(shell: Shell) -> None:
    (shell.home / "catalog.yaml").write_text("videos:\n- key: fog\n  account: sandbox\n")
    process = shell.run("dagster", "job", "execute", "-m", "extend_pipeline.definitions", "-j", "partitions_job")
    assert process.returncode == 1
    assert "catalog.yaml:2" in process.stderr
