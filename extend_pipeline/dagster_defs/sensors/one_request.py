"""One request at a time: sensors that request runs tick at the same moment, and a run that one of them requests exists
only after its tick. Otherwise each would request a run, of which all but one start for nothing."""

import threading
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB
from extend_pipeline.dagster_defs.mount import Mount

ASKED_BY_TAG: Final = "extend_pipeline/asked_by"
"""The tag of a requested run: which sensor has requested it, and why."""

REQUEST_S: Final = 30.0
"""Seconds after which a requested run that does not exist is no longer waited for: the daemon may have ended."""

_at_a_time = threading.Lock()  # the ticks of a code location are threads of one process


def may_request(instance: dg.DagsterInstance, mount: Mount, sensor: str, *, now_s: float) -> bool:
    """Return whether a sensor may request a run at a time (UTC s), and note that it does. It may not while the run that
    another sensor has just requested is still to come, or has come meanwhile and is not over."""
    key = "/".join(["extend_pipeline/requested", *mount.key_prefix])
    storage = instance.daemon_cursor_storage
    with _at_a_time:
        by, _, at_s = storage.get_cursor_values({key}).get(key, "").rpartition(" ")
        if by not in ("", sensor) and abs(now_s - float(at_s)) < REQUEST_S:
            newest = instance.get_run_records(dg.RunsFilter(job_name=mount.name(ADVANCE_JOB)), limit=1)
            has_come = bool(newest) and newest[0].create_timestamp.timestamp() >= float(at_s)
            if not has_come or not newest[0].dagster_run.is_finished:
                return False
        storage.set_cursor_values({key: f"{sensor} {now_s}"})
    return True
