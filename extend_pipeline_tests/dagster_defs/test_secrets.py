"""No key of an account is in a DAGSTER_HOME: neither in its databases nor in the logs of runs that failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.sandbox import SandboxConfig, running_sandbox
from extend_pipeline_tests.support.home.homes import seeds, video, write_home

ACCESS = "canary-access-91c07d5e3b62"
SECRET = "canary-secret-0a9b8c7d6e5f4a3b2c1d0e9f"
KEYS: Sequence[str] = ("one", "two", "three", "four")


def files_holding(folder: Path, *secrets: str) -> list[str]:
    """Return the files below a folder that hold one of the secrets."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


def test_no_key_is_in_dagster_s_home_or_ours_after_runs_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_ACCESS_KEY", ACCESS)
    monkeypatch.setenv("CANARY_SECRET_KEY", SECRET)
    config = SandboxConfig(access_key=ACCESS, secret_key=SECRET, width=96, height=64, fps=6, run_time=(0, 0))
    home, dagster_home = tmp_path / "home", tmp_path / "dagster"
    dagster_home.mkdir()
    entries = [video(key, extend={"steps": 1, "prompt": key}) for key in KEYS]
    defs = build_mounted(OWN, HomeResource(home=str(home)))
    with (
        running_sandbox(tmp_path / "sandbox", config) as sandbox,
        dg.DagsterInstance.local_temp(str(dagster_home)) as instance,
    ):
        sandbox.seed(seeds(entries))
        keys = {"access_key_env": "CANARY_ACCESS_KEY", "secret_key_env": "CANARY_SECRET_KEY"}
        write_home(home, sandbox.base_url, entries, {"credentials": keys, "poll": {"first_after": 0, "every": 0.05}})
        sandbox.faults(
            [
                {"kind": "html", "where": "submit"},
                {"kind": "code_1301", "where": "submit", "skip": 1},
                {"kind": "not_json", "where": "query"},
                {"kind": "cut_download", "where": "download"},
                {"kind": "code_1001", "where": "submit", "skip": 3},
            ]
        )
        instance.add_dynamic_partitions("videos", list(KEYS))
        ranges = {"dagster/asset_partition_range_start": "one", "dagster/asset_partition_range_end": "four"}
        manual = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey("completed_extensions")],
            tags=ranges,
            instance=instance,
            raise_on_error=False,
            run_config={"ops": {"extend_videos": {"config": {"max_seconds": 5.0}}}},
        )
        run_config = {"ops": {"advance": {"config": {"linger_s": 0.5}}}}
        defs.resolve_job_def("advance_job").execute_in_process(instance=instance, run_config=run_config)
        assert defs.resolve_job_def("report_job").execute_in_process(instance=instance).success
        assert not manual.success
        assert sum(fault["fired"] for fault in sandbox.faults()) >= 4
        assert sandbox.charges()["charges"]
    assert files_holding(dagster_home, ACCESS, SECRET) == []
    assert files_holding(home, ACCESS, SECRET) == []
