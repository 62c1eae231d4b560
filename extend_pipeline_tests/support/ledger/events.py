"""Fills a ledger by appending real events, many in one transaction, for tests that only care about what is in it."""

from __future__ import annotations

from typing import Any

from extend_pipeline.base.days import day_of
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.events import LedgerTransaction

START = 1_794_009_600_123  # a moment of 2026-11-06 in UTC ms, with milliseconds that must survive


def declare_video(tx: LedgerTransaction, key: str, *, account: str = "kling-main", **changes: Any) -> None:
    """A catalogue entry."""
    data = {
        "provider": "kling",
        "definition_digest": "d",
        "source_video_id": "000827942411241803",
        "model": "kling-v1-6",
        "mode": "std",
        "source_created_at": START - 3_600_000,
        "extendable_until": START + 30 * 86_400_000,
        "source_duration_ms": 5_100,
        "target_ms": 30_000,
        **changes,
    }
    tx.append("video_declared", video_key=key, account=account, data=data)


def append_attempt(
    tx: LedgerTransaction,
    attempt_id: str,
    *,
    video: str = "harbour",
    hop: int = 1,
    account: str = "kling-main",
    until: str = "stored",
    end: dict[str, Any] | None = None,
    step_ms: int = 1_000,
    **changes: Any,
) -> None:
    """An attempt from its claim to `until`, which may be any state, one step every `step_ms`.

    `end` is laid over what the last event usually says; `changes` go into the claim."""
    claim = {
        "hop": hop,
        "generation": 1,
        "try_no": 1,
        "chain_digest": f"digest-{attempt_id}",
        "provider": "kling",
        "submit_class": "A",
        "external_task_id": f"ext-{attempt_id}",
        "root_video_id": "000827942411241803",
        "parent_attempt_id": None,
        "parent_video_id": "000827942411241803",
        "parent_duration_ms": 5_100,
        "params": '{"prompt":"the fog lifts"}',
        "request": '{"video_id":"000827942411241803"}',
        "mode": "std",
        "unit": "kling-unit",
        "predicted_micros": 2_000_000,
        "unit_price_micros": 140_000,
        "currency": "USD",
        "budget_day": day_of(tx.now_ms, "UTC"),
        "failed_tasks_charged": "yes",
        "owner": "test",
        "lease_until": 0,
        **changes,
    }
    step(tx, "claimed", attempt_id, video=video, account=account, data=claim)
    path = {"claimed": (), "released": ("released",), "sending": ("sending",), "in_doubt": ("sending", "in_doubt")}
    path |= {"rejected": ("sending", "rejected"), "failed": ("sending", "submitted", "failed")}
    path |= {"submitted": ("sending", "submitted"), "processing": ("sending", "submitted", "processing")}
    path |= {"succeeded": ("sending", "submitted", "succeeded")}
    after = ("stored", "quarantined", "result_lost", "written_off")
    path |= {state: ("sending", "submitted", "succeeded", state) for state in after}
    usual: dict[str, dict[str, Any]] = {
        "submitted": {"task_id": f"00task-{attempt_id}"},
        "succeeded": {"video_id": f"00video-{attempt_id}", "url": "https://files.test/signed?token=abc"},
        "stored": {
            "sha256": "ab" * 32,
            "path": "ab/ab.mp4",
            "bytes": 5,
            "width": 1280,
            "height": 720,
            "codec": "h264",
            "probed_duration_ms": claim["parent_duration_ms"] + 4_500 if claim["parent_duration_ms"] else 9_600,
            "output_kind": "full",
            "seam_psnr_centi_db": 4_125,
        },
    }
    start = tx.now_ms
    for state in path[until]:
        tx.now_ms += step_ms
        data = usual.get(state, {}) | (end or {} if state == until else {})
        step(tx, state, attempt_id, video=video, account=account, data=data)
    tx.now_ms = start


def step(tx: LedgerTransaction, state: str, attempt_id: str, *, video: str, account: str, data: dict[str, Any]) -> None:
    """One event of an attempt."""
    tx.append(f"attempt_{state}", attempt_id=attempt_id, video_key=video, account=account, data=data)


def seed_attempt(ledger: Ledger, attempt_id: str, *, now_ms: int = START, **changes: Any) -> None:
    """`append_attempt` in a transaction of its own."""
    with ledger.write(now_ms=now_ms, actor="test") as tx:
        append_attempt(tx, attempt_id, **changes)


def seed_video(ledger: Ledger, key: str, *, now_ms: int = START, **changes: Any) -> None:
    """`declare_video` in a transaction of its own."""
    with ledger.write(now_ms=now_ms, actor="test") as tx:
        declare_video(tx, key, **changes)


def seed_adjustment(ledger: Ledger, attempt_id: str, *, micros: int, now_ms: int = START) -> None:
    """A booking on an attempt that ended long ago, as a reconciliation makes it."""
    with ledger.write(now_ms=now_ms, actor="test") as tx:
        tx.append("charge_adjusted", attempt_id=attempt_id, data={"micros": micros, "basis": "reported"})
