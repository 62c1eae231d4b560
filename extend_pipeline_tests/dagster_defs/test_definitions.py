"""Definitions: they load without a home or a warning, import nothing heavy, and retry nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.definitions import build_defs
from extend_pipeline.providers.registry import PROVIDERS

ROOT = Path(__file__).parents[2]

LOADING = """
import sys
from extend_pipeline.definitions import defs
defs.get_repository_def()
print([name for name in ("pandas", "numpy", "av", "duckdb", "alembic", "altair", "vl_convert") if name in sys.modules])
"""


def _run(*command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command for a home and return the ended process."""
    environment = {**os.environ, "EXTEND_PIPELINE_HOME": str(home), "DAGSTER_HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False)


def test_definitions_load_without_a_home_a_warning_or_a_heavy_import(tmp_path: Path) -> None:
    process = _run(sys.executable, "-W", "error", "-c", LOADING, home=tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "[]"
    assert process.stderr == ""


def test_the_workspace_validates(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.yaml").read_text())
    dagster = str(Path(sys.executable).with_name("dagster"))
    process = _run(dagster, "definitions", "validate", "-w", "workspace.yaml", home=tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr
    warnings = [
        line for line in (process.stdout + process.stderr).splitlines() if "Warning" in line or "WARNING" in line
    ]
    # Dagster warns of this command itself, independently of its arguments
    assert [line for line in warnings if "definitions_validate_command" not in line] == []


def test_dagster_accepts_the_instance_template_and_retries_nothing(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.run_retries_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_resume_run_attempts == 0
        assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] > 0
        assert not instance.telemetry_enabled
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        per_home = {"key": "extend_pipeline/advance", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
        assert per_home in limits.tag_concurrency_limits
        assert {**per_home, "key": "extend_pipeline/extend", "limit": 2} in limits.tag_concurrency_limits


def test_dagster_retries_no_job_or_op_that_may_submit() -> None:
    defs = build_defs()
    repository = defs.get_repository_def()
    jobs = [repository.get_job("advance_job"), repository.get_job("extend_job")]
    assert [job.tags["dagster/max_retries"] for job in jobs] == ["0", "0"]
    for job in (*jobs, defs.resolve_implicit_global_asset_job_def()):
        for node in job.nodes:
            assert node.definition.retry_policy is None, node.name
            if node.name in ("advance", "extend", "extend_videos"):
                assert node.definition.tags["dagster/max_retries"] == "0"


def test_every_provider_has_a_poll_sensor_and_the_nightly_backfill_is_off_until_turned_on() -> None:
    repository = build_defs().get_repository_def()
    names = {sensor.name for sensor in repository.sensor_defs}
    assert {f"{spec.name.replace('-', '_')}_poll_sensor" for spec in PROVIDERS} <= names
    assert {"catalog_sensor", "tables_automation_sensor"} <= names
    assert "default_automation_condition_sensor" not in names
    schedule = repository.get_schedule_def("nightly_backfill_schedule")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize("asset", ["source_videos", "extension_requests", "completed_extensions"])
def test_the_partitioned_assets_backfill_in_a_single_run_and_have_a_column_schema(asset: str) -> None:
    node = build_defs().resolve_asset_graph().get(dg.AssetKey(asset))
    assert node.backfill_policy == dg.BackfillPolicy.single_run()
    assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
    columns = node.metadata["dagster/column_schema"].columns
    assert "video_key" in {column.name for column in columns}
    assert all(column.description for column in columns)
