"""The assembly: it loads without a home and without warnings, imports nothing heavy, and retries nothing."""

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
print([name for name in ("pandas", "numpy", "av", "duckdb", "alembic") if name in sys.modules])
"""


def _run(*command: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EXTEND_PIPELINE_HOME": str(home), "DAGSTER_HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False)


def test_loading_needs_no_home_warns_of_nothing_and_imports_nothing_heavy(tmp_path: Path) -> None:
    told = _run(sys.executable, "-W", "error", "-c", LOADING, home=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == "[]"
    assert told.stderr == ""


def test_the_workspace_validates(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.yaml").read_text())
    dagster = str(Path(sys.executable).with_name("dagster"))
    told = _run(dagster, "definitions", "validate", "-w", "workspace.yaml", home=tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    warned = [line for line in (told.stdout + told.stderr).splitlines() if "Warning" in line or "WARNING" in line]
    # Dagster's own words about its command, whatever it is given
    assert [line for line in warned if "definitions_validate_command" not in line] == []


def test_the_instance_template_is_taken_by_dagster_and_retries_nothing(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.run_retries_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_resume_run_attempts == 0
        assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] > 0
        assert not instance.telemetry_enabled
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert {"key": "extend_pipeline/advance", "limit": 1} in limits.tag_concurrency_limits


def test_nothing_that_may_submit_is_ever_retried_by_dagster() -> None:
    defs = build_defs()
    repository = defs.get_repository_def()
    advance = repository.get_job("advance_job")
    assert advance.tags["dagster/max_retries"] == "0"
    for job in (advance, defs.resolve_implicit_global_asset_job_def()):
        for node in job.nodes:
            assert node.definition.retry_policy is None, node.name
            if node.name in ("advance", "extend_videos"):
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
