"""Find work that no run of advance_job has recorded in Dagster: that of the command line, of a run that ended by an
error, and everything in a new or lost DAGSTER_HOME."""

import time
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.recording.progress import Progress
from extend_pipeline.engine.guards.other_home import has_videos_of_others
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries

WAIT_S: Final = 300.0
"""Seconds that a change waits for a run that has other work. After a run no other is requested for so long, because
one that ends before it has recorded anything would be repeated with every tick."""


def unrecorded(instance: dg.DagsterInstance, pipeline: Pipeline, mount: Mount) -> str:
    """Return in words what the ledger has and Dagster lacks; empty if nothing has waited for long enough, or while the
    videos are another home's, because a run records nothing then."""
    with pipeline.ledger.read() as connection:
        if has_videos_of_others(pipeline.configuration, connection, now_ms=pipeline.now_ms()):
            return ""
        recorded = Progress.of(instance, mount, connection).recorded(connection)
        if recorded is not None:
            changed_ms = queries.changed_at(connection, after_seq=recorded)
            waits = changed_ms is not None and pipeline.now_ms() - changed_ms >= WAIT_S * 1000
        else:
            waits = queries.head(connection) > 0  # a new or lost DAGSTER_HOME, or a ledger that was put back
    return "what was done before, to be recorded in Dagster" if waits and not _has_just_run(instance, mount) else ""


def _has_just_run(instance: dg.DagsterInstance, mount: Mount) -> bool:
    newest = instance.get_run_records(dg.RunsFilter(job_name=mount.name(ADVANCE_JOB)), limit=1)
    return bool(newest) and abs(time.time() - newest[0].create_timestamp.timestamp()) < WAIT_S
