"""Thousands of videos in one edit: one tick adds the partitions, well within the 60 s after which Dagster ends it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.mount import VIDEOS
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

NEW: Final = 5_000
MAX_TICK_S: Final = 40.0  # a slow machine has its time; on a calm one it takes some four seconds


def test_five_thousand_videos_become_partitions_in_one_tick(place: Place, tmp_path: Path) -> None:
    entries = [video(f"v{number:04}") for number in range(NEW)]
    write_home(place.home, place.sandbox.base_url, entries[:3])
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as place.instance:
        place.sensor("catalog_sensor")
        write_home(place.home, place.sandbox.base_url, entries)
        start_s = time.monotonic()
        check_user_text(place.sensor("catalog_sensor").skip_message)
        assert time.monotonic() - start_s < MAX_TICK_S
        assert list(place.instance.get_dynamic_partitions(VIDEOS)) == [entry["key"] for entry in entries]
        check_user_text(place.sensor("catalog_sensor").skip_message)
