"""Fixtures of the warehouse's tests: the paths to publish to, and a small ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.warehouse.publish import AlreadyFresh, Busy, Published, publish
from extend_pipeline_tests.support.ledger.events import START


@dataclass(frozen=True)
class Place:
    """The paths of a published file and of its working file."""

    target: Path
    work: Path

    def publish(self, ledger: Ledger, now_ms: int = START + 60_000) -> Published | AlreadyFresh | Busy:
        return publish(ledger, target=self.target, work=self.work, now_ms=now_ms)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    state = tmp_path / "it's a home" / "state"
    return Place(state / "warehouse.duckdb", state / "warehouse.work.duckdb")


@pytest.fixture
def small_ledger(tmp_path: Path) -> Ledger:
    """Yield an empty ledger on SQLite, for tests that don't depend on the database."""
    return open_ledger(f"sqlite:///{tmp_path}/small.sqlite")
