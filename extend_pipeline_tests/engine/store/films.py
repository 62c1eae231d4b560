"""What tests of missing films share: the films of a home, a look at its store, and what must hold afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.watch import LOOK_EVERY_MS
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.projection.replay import differences, replay
from extend_pipeline_tests.support.home.engine_home import drive

HOUR_MS = 3_600_000


def rows(pipeline: Pipeline, *columns: Any) -> list[Any]:
    """Return columns of all attempts, by hop."""
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(*columns).order_by(tables.attempts.c.hop)))


def recorded(pipeline: Pipeline) -> list[str]:
    """Return the kinds of the events that record a stored file, oldest first."""
    events = tables.events.c
    query = select(events.kind).where(events.kind.in_(("source_stored", "attempt_stored"))).order_by(events.seq)
    with pipeline.ledger.read() as connection:
        return list(connection.execute(query).scalars())


def results(pipeline: Pipeline) -> list[Path]:
    """Return the paths of all results, by hop."""
    return [
        pipeline.settings.media_dir / row.path for row in rows(pipeline, tables.attempts.c.path, tables.attempts.c.hop)
    ]


def look_and_drive(pipeline: Pipeline) -> None:
    """Let the next look at the store be due, and work until nothing is left to do."""
    pipeline.now_ms.skip(LOOK_EVERY_MS + 1)  # type: ignore[attr-defined]
    drive(pipeline)


def assert_consistent(pipeline: Pipeline, folder: Path) -> None:
    """Assert that every invariant holds and that a replay of the events gives the same tables."""
    assert check_invariants(pipeline.ledger) == []
    again = open_ledger(f"sqlite:///{folder}/again.sqlite")
    try:
        replay(pipeline.ledger, again)
        assert differences(pipeline.ledger, again) == []
    finally:
        again.close()
