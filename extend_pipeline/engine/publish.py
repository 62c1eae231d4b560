"""Publish the warehouse when the ledger has changed."""

import threading
import time
from typing import Final

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.warehouse.publish import AlreadyFresh, Busy, Published, publish

BUSY_GAP_S: Final = 0.2
BUSY_S: Final = 60.0  # a publish of 100,000 attempts takes seconds; a process that takes longer is stuck


def publish_if_changed(pipeline: Pipeline) -> Published | AlreadyFresh | Busy:
    """Publish unless another process is publishing (Busy). The cost depends on what changed since the last publish."""
    target = pipeline.settings.warehouse_path
    work = target.with_name("warehouse.work.duckdb")
    return publish(pipeline.ledger, target=target, work=work, now_ms=pipeline.now_ms())


def publish_last(pipeline: Pipeline) -> Published | AlreadyFresh | Busy:
    """Publish at the end of a piece of work.

    Waits for another publishing process, because it may have read the ledger before our last change. Returns Busy only
    when that process takes longer than 60 s.
    """
    deadline = time.monotonic() + BUSY_S
    outcome = publish_if_changed(pipeline)
    while isinstance(outcome, Busy) and time.monotonic() < deadline:
        threading.Event().wait(BUSY_GAP_S)
        outcome = publish_if_changed(pipeline)
    return outcome
