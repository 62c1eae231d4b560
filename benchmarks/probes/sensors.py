"""How long a tick of each sensor takes in a code location that has ticked before. Prints seconds by sensor, and the
first tick of the catalogue's, which reads it."""

from __future__ import annotations

import os

import dagster as dg
from sqlalchemy import select

from benchmarks.probes.home import Stopwatch, home_ledger, report
from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import OWN, VIDEOS
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.ledger import tables

SENSORS = ("catalog_sensor", "kling_poll_sensor", "retention_sensor", "doubt_sensor", "ledger_sensor", "alert_sensor")
_AT_ONCE = 5_000


def main() -> None:
    """Tick twice, and time the second."""
    watch = Stopwatch()
    home = HomeResource(home=os.environ["EXTEND_PIPELINE_HOME"])
    repository = build_mounted(OWN, home).get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        _add_partitions(instance)
        for name in SENSORS:
            sensor = repository.get_sensor_def(name)
            cursor: str | None = None
            for tick in (f"{name}, first", name):
                with (
                    dg.build_sensor_context(instance, cursor=cursor, resources={"home": home}) as context,
                    watch.time(tick),
                ):
                    cursor = sensor.evaluate_tick(context).cursor or cursor  # as the daemon keeps it
    report(**watch.seconds)


def _add_partitions(instance: dg.DagsterInstance) -> None:
    with home_ledger() as ledger, ledger.read() as connection:
        keys = list(connection.execute(select(tables.videos.c.video_key)).scalars())
    for start in range(0, len(keys), _AT_ONCE):
        instance.add_dynamic_partitions(VIDEOS, keys[start : start + _AT_ONCE])


if __name__ == "__main__":
    main()
