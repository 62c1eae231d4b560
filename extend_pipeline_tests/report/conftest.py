"""Published files to report about: an odd one, and one with nothing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.catalog_sync import Progress
from extend_pipeline.warehouse.publish import publish
from extend_pipeline_tests.support.ledger.events import append_attempt, declare_video, seed_adjustment

DAY: Final = 86_400_000
HOUR: Final = 3_600_000
NOW: Final = 1_794_009_600_000 + 12 * HOUR  # 2026-11-07 12:00 in UTC
SCRIPT: Final = "<script>alert('港')</script>"
WORDS: Final = "<img src=x onerror=alert(1)> refused at 2026-11-06 16:00 UTC"

CNY: Final[dict[str, Any]] = {
    "account": "港口晨曦",
    "provider": "vidu",
    "unit": "cny",
    "currency": "CNY",
    "predicted_micros": 1_500_000,
    "unit_price_micros": 1_000_000,
}
FREE: Final[dict[str, Any]] = {"account": "<b>trial</b> & error", "unit": "credit", "unit_price_micros": 0}


def record_progress(tx: LedgerTransaction, key: str, state: VideoState, length_ms: int, detail: str = "") -> None:
    """Record the progress of a video, as a plan computes it."""
    data = Progress(state, "failed" if detail else "", detail, 1, length_ms).row()
    tx.append("video_progressed", video_key=key, data=data)


@contextmanager
def published_by(folder: Path) -> Iterator[tuple[Ledger, Path]]:
    """Yield a ledger to fill and the path of the file that is published after the block."""
    ledger = open_ledger(f"sqlite:///{folder}/ledger.sqlite")
    target = folder / "warehouse.duckdb"
    yield ledger, target
    publish(ledger, target=target, work=folder / "work.duckdb", now_ms=NOW)
    ledger.close()


@pytest.fixture(scope="package")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of two currencies with an account that costs nothing, keys and words that are HTML, a branch, and
    attempts that failed and are in doubt. One hop was stored at 23:30 UTC, on the next day of Berlin."""
    with published_by(tmp_path_factory.mktemp("odd")) as (ledger, target):
        with ledger.write(now_ms=NOW - 3 * DAY, actor="test") as tx:
            declare_video(tx, "dawn", target_ms=10_000)
            declare_video(tx, SCRIPT, account=CNY["account"], provider="vidu")
            declare_video(tx, "free", account=FREE["account"])
            declare_video(tx, "branch", source_duration_ms=None)
            declare_video(tx, "gone")
            tx.append("video_withdrawn", video_key="gone")
        with ledger.write(now_ms=NOW - 2 * DAY, actor="test") as tx:
            append_attempt(tx, "d1", video="dawn", step_ms=60_000)
            append_attempt(tx, "f1", video="free", **FREE)
            append_attempt(tx, "r1", video=SCRIPT, **CNY)
            append_attempt(tx, "r2", video=SCRIPT, hop=2, until="failed", end={"error_message": WORDS}, **CNY)
        seed_adjustment(ledger, "d1", micros=-500_000, now_ms=NOW - DAY)
        with ledger.write(now_ms=NOW - DAY + 11 * HOUR + HOUR // 2, actor="test") as tx:
            append_attempt(tx, "b1", video="branch", step_ms=0)
        with ledger.write(now_ms=NOW - HOUR, actor="test") as tx:
            append_attempt(tx, "r3", video=SCRIPT, hop=3, until="in_doubt", **CNY)
            record_progress(tx, "dawn", VideoState.COMPLETE, 9_600)
            record_progress(tx, SCRIPT, VideoState.BLOCKED, 9_600, WORDS)
    return target


@pytest.fixture(scope="package")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that was published before anything was declared."""
    with published_by(tmp_path_factory.mktemp("empty")) as (_, target):
        pass
    return target


Fill = Callable[[LedgerTransaction], None]


@pytest.fixture
def published(tmp_path: Path) -> Callable[[Fill], Path]:
    """Return a function that publishes what another one appends."""

    def fill(append: Fill) -> Path:
        with published_by(tmp_path) as (ledger, target), ledger.write(now_ms=NOW - HOUR, actor="test") as tx:
            append(tx)
        return target

    return fill
