"""Publishes the warehouse when the ledger has moved on."""

from __future__ import annotations

import threading
import time
from typing import Final

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.warehouse.publish import AlreadyFresh, Busy, Published, publish

BUSY_GAP_S: Final = 0.2
BUSY_S: Final = 60.0  # a publish of 100,000 attempts takes seconds; whoever takes longer is stuck, and said to be


def publish_if_changed(pipeline: Pipeline) -> Published | AlreadyFresh | Busy:
    """Publish, unless another process is at it: costs what changed since the last time, and next to nothing without."""
    target = pipeline.settings.warehouse_path
    work = target.with_name("warehouse.work.duckdb")
    return publish(pipeline.ledger, target=target, work=work, now_ms=pipeline.now_ms())


def publish_last(pipeline: Pipeline) -> Published | AlreadyFresh | Busy:
    """Publish at the end of a piece of work: another process that is at it may have read before our last change, so its
    end is awaited. Busy only where it doesn't end."""
    deadline = time.monotonic() + BUSY_S
    told = publish_if_changed(pipeline)
    while isinstance(told, Busy) and time.monotonic() < deadline:
        threading.Event().wait(BUSY_GAP_S)
        told = publish_if_changed(pipeline)
    return told
