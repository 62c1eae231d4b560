"""Keys in people's own scripts as Dagster's partitions, on a real instance on disk; and what Dagster itself refuses."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.errors import DagsterInvalidDefinitionError

from extend_pipeline.base.names import name_fault
from extend_pipeline.dagster_defs.assets.tables import PUBLISHED
from extend_pipeline.dagster_defs.partitions import VIDEOS
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
        asked = place.sensor("kling_poll_sensor", instance).run_requests
        assert asked is not None
        (request,) = asked
        assert request.tags
        place.instance = instance
        first = sorted(KEYS)[0]
        assert place.materialise(*ASSETS, keys=[first]).success
        there = instance.get_dynamic_partitions(VIDEOS)
        # a backfill in one run names its range by its ends
        assert place.materialise(*ASSETS, keys=[there[0], there[-1]]).success
        for asset in ASSETS:
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == set(KEYS)
        told = place.latest("completed_extensions", first)
        assert told is not None
        assert told.partition == first
        by_tag = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": first}))
        assert len(by_tag) == 1
        checked = place.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[table.asset for table in PUBLISHED], instance=instance, raise_on_error=False
        )
        assert checked.success
        assert place.advance().success


@pytest.mark.parametrize("key", ["a...b", "...", "a\nb"])
def test_what_dagster_refuses_as_a_partition_is_no_name(key: str) -> None:
    """It checks partitions that are known beforehand; those that are added later it takes, and then misreads them."""
    with pytest.raises(DagsterInvalidDefinitionError):
        dg.StaticPartitionsDefinition([key])
    assert name_fault(key) is not None
