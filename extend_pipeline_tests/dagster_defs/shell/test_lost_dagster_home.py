"""A DAGSTER_HOME that was removed fills up again by the ticks of the sensors, and nothing is bought for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from extend_pipeline.dagster_defs.assets.materializations import PARTITIONED
from extend_pipeline.dagster_defs.assets.tables import PUBLISHED
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

TEMPLATE = Path(__file__).parents[3] / "deploy" / "dagster.yaml"
KEYS = ["four", "one", "three", "two"]


@contextmanager
def opened(place: Place, folder: Path) -> Iterator[None]:
    """Work with the instance on disk in a DAGSTER_HOME, which is made if it is missing."""
    folder.mkdir(exist_ok=True)
    shutil.copy(TEMPLATE, folder / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(folder)) as place.instance:
        yield


def shown(place: Place) -> dict[str, set[str]]:
    """Return what Dagster shows: the partitions, those that each asset has materialized, and the tables' versions."""
    found = {"partitions": set(place.instance.get_dynamic_partitions("videos"))}
    for key in PARTITIONED:
        found[key.to_user_string()] = set(place.instance.get_materialized_partitions(key))
    for table in PUBLISHED:
        event = place.instance.get_latest_materialization_event(table.asset)
        tags = event and event.asset_materialization and event.asset_materialization.tags
        found[table.asset.to_user_string()] = {str((tags or {}).get("dagster/data_version"))}
    return found


def test_partitions_materializations_and_tables_are_back_and_nothing_is_bought(place: Place, tmp_path: Path) -> None:
    entries = [video(key, extend=ONE_HOP) for key in ("one", "two", "three")]
    place.write([*entries, video("four", extend={"steps": 2, "prompt": "x"}), video("left-since")])
    folder = tmp_path / "dagster_home"
    with opened(place, folder):
        place.sensor("catalog_sensor")
        assert place.advance().success
        place.write([*entries, video("four", extend={"steps": 2, "prompt": "x"})])
        place.sensor("catalog_sensor")
        assert place.advance().success
        before = shown(place)
    assert before["partitions"] == before["completed_extensions"] - {"left-since"} == set(KEYS)
    charges = place.sandbox.charges()["charges"]
    shutil.rmtree(folder)
    with opened(place, folder):
        place.sensor("catalog_sensor")
        assert place.instance.get_dynamic_partitions("videos") == KEYS
        [request] = place.sensor("kling_poll_sensor").run_requests
        check_user_text(request.tags["extend_pipeline/asked_by"])
        assert place.advance().success
        assert place.sensor("kling_poll_sensor").run_requests == []
        after = shown(place)
        assert place.materialise("completed_extensions", keys=[KEYS[0], KEYS[-1]]).success
    for name, values in before.items():
        assert after[name] == values - {"left-since"}, name
    assert place.sandbox.charges()["charges"] == charges
