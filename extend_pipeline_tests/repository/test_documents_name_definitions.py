"""Each job, sensor, schedule and asset check of the workspace stands in a table of docs/dagster.md."""

from __future__ import annotations

import re
from pathlib import Path

from extend_pipeline.definitions import defs

PAGE = Path(__file__).parents[2] / "docs" / "dagster.md"


def test_every_definition_stands_in_a_table() -> None:
    section = re.split(r"(?m)^## ", PAGE.read_text(encoding="utf-8"))
    [tables] = [text for text in section if text.startswith("What runs by itself")]
    cells = re.findall(r"(?m)^\| ([^|]+) \|", tables)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    repository = defs.get_repository_def()
    assert named == {
        *(name for name in repository.job_names if not name.startswith("__")),
        *(sensor.name for sensor in repository.sensor_defs),
        *(schedule.name for schedule in repository.schedule_defs),
        *(check.name for check in repository.asset_graph.asset_check_keys),
    }
