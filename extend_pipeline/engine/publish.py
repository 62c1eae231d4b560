"""Publishes the warehouse when the ledger has moved on."""

from __future__ import annotations

from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.warehouse.publish import AlreadyFresh, Busy, Published, publish


def publish_if_changed(pipeline: Pipeline) -> Published | AlreadyFresh | Busy:
    """Publish; costs what changed since the last time, and next to nothing where nothing did."""
    target = pipeline.settings.warehouse_path
    work = target.with_name("warehouse.work.duckdb")
    return publish(pipeline.ledger, target=target, work=work, now_ms=pipeline.now_ms())
