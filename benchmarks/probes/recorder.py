"""How long a run's first report takes in a Dagster that was started again, and has every change already. Prints
`seconds` and the number of `events`, which is 0."""

from __future__ import annotations

import os

import dagster as dg
from sqlalchemy import select

from benchmarks.probes.home import Stopwatch, report
from extend_pipeline.dagster_defs.assets.materializations import PARTITIONED
from extend_pipeline.dagster_defs.assets.versions import VIDEOS_CODE_VERSION
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.recording.recorder import Recorder
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.identity import read_identity


def main() -> None:
    """Report to a Dagster to which an earlier run has reported all."""
    watch = Stopwatch()
    home = HomeResource(home=os.environ["EXTEND_PIPELINE_HOME"])
    with dg.DagsterInstance.ephemeral() as instance, home.open() as pipeline:
        keep_last_event(instance, pipeline)
        with watch.time("seconds"):
            recorder, events = Recorder(instance, pipeline, OWN), 0
            events += len(list(recorder.last_events()))
    report(**watch.seconds, events=events)


def keep_last_event(instance: dg.DagsterInstance, pipeline: Pipeline) -> None:
    """Leave in a Dagster's storage that every change of the ledger was reported to it."""
    with pipeline.ledger.read() as connection:
        identity = read_identity(connection)
        key = connection.execute(select(tables.videos.c.video_key).limit(1)).scalar_one()
    for asset in PARTITIONED:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))
    recorded, synced = (f"extend_pipeline/{name}/{identity.ledger_id}" for name in ("recorded", "synced"))
    cursors = {recorded: str(identity.seq), synced: f"{identity.seq} {VIDEOS_CODE_VERSION}"}
    instance.daemon_cursor_storage.set_cursor_values(cursors)


if __name__ == "__main__":
    main()
