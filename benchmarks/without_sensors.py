"""This project's definitions without sensors and schedules, so that nothing runs but what is asked for:
`dagster dev -m benchmarks.without_sensors`."""

from __future__ import annotations

import dagster as dg

from extend_pipeline.definitions import build_defs

defs = dg.Definitions.merge(
    build_defs(sensors="none", schedules="none"), dg.Definitions(executor=dg.in_process_executor)
)
