"""Keys in any script as partitions of Dagster, on an instance on disk, and keys that Dagster itself refuses."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml

from extend_pipeline.base.names import name_fault
from extend_pipeline.dagster_defs.assets.tables import PUBLISHED
from extend_pipeline.dagster_defs.mount import VIDEOS
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video, write_home

KEYS = ["港口晨曦", "ميناء_الفجر", "नमस्ते-दुनिया", "𠮷" * 64]
ASSETS = ("source_videos", "extension_requests", "completed_extensions")


def test_keys_of_any_script_are_partitions_from_the_sensor_to_the_tables(place: Place, tmp_path: Path) -> None:
    entries = [
        video(key, account="可灵-主账户", extend={"steps": 1}, source={**video(key)["source"], "video_id": f"any-{n}"})
        for n, key in enumerate(KEYS)
    ]
    write_home(place.home, place.sandbox.base_url, [], {"name": "可灵-主账户"})
    written = yaml.safe_dump({"videos": entries}, allow_unicode=True)  # JSON's escapes beyond U+FFFF are not YAML's
    (place.home / "catalog.yaml").write_text(written, encoding="utf-8")
    place.plant(entries)
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        place.sensor("catalog_sensor", instance)
        assert sorted(instance.get_dynamic_partitions(VIDEOS)) == sorted(KEYS)
        run_requests = place.sensor("kling_poll_sensor", instance).run_requests
        assert run_requests is not None
        (request,) = run_requests
        assert request.tags
        place.instance = instance
        first = sorted(KEYS)[0]
        assert place.materialise(*ASSETS, keys=[first]).success
        partitions = instance.get_dynamic_partitions(VIDEOS)
        # a backfill in one run names its range by its ends
        assert place.materialise(*ASSETS, keys=[partitions[0], partitions[-1]]).success
        for asset in ASSETS:
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == set(KEYS)
        materialization = place.latest("completed_extensions", first)
        assert materialization is not None
        assert materialization.partition == first
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": first}))
        assert len(runs) == 1
        published = place.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[table.asset for table in PUBLISHED], instance=instance, raise_on_error=False
        )
        assert published.success
        assert place.advance().success


@pytest.mark.parametrize("key", ["a...b", "...", "a\nb"])
def test_a_key_that_dagster_refuses_as_a_partition_is_no_valid_name(key: str) -> None:
    """Dagster refuses such keys in static partitions; dynamic ones it accepts and then misreads."""
    with pytest.raises(dg.DagsterInvalidDefinitionError):
        dg.StaticPartitionsDefinition([key])
    assert name_fault(key) is not None
