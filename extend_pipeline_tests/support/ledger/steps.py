"""Takes an attempt through the ledger in a line or two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from extend_pipeline.engine.plan import chain
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.spending_rules import BudgetLimits
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import claims, transitions
from extend_pipeline.ledger.write.claims import ClaimRequest, ClaimResult
from extend_pipeline.ledger.write.transitions import Moved, Stale

S = AttemptState

NOON = 1_794_000_000_000 - 1_794_000_000_000 % 86_400_000 + 43_200_000  # some noon of November 2026, in UTC ms
CAPS = {
    "kling-main": BudgetLimits(
        per_day_micros=100_000_000, total_micros=2_000_000_000, max_in_flight=20, exposure_micros=100_000_000
    )
}


def request(video: str = "harbour", hop: int = 1, **changes: Any) -> ClaimRequest:
    """A claim of 2 units for one hop."""
    generation, try_no = changes.get("generation", 1), changes.get("try_no", 1)
    digest = changes.get("chain_digest", f"digest-{hop}")
    external = chain.external_task_id(video_key=video, hop=hop, generation=generation, chain_digest=digest)
    base = ClaimRequest(
        attempt_id=chain.attempt_id(external, try_no),
        video_key=video,
        hop=hop,
        generation=generation,
        try_no=try_no,
        chain_digest=digest,
        account="kling-main",
        provider="kling",
        submit_class="A",
        external_task_id=external,
        root_video_id="827942411241803822",
        parent_attempt_id=None,
        parent_video_id="827942411241803822",
        parent_duration_ms=5_100,
        params='{"prompt":"the fog lifts"}',
        request='{"video_id":"827942411241803822"}',
        mode="std",
        unit="kling-unit",
        predicted_micros=2_000_000,
        unit_price_micros=140_000,
        currency="USD",
        failed_tasks_charged="unknown",
        last_attempt_id=None,
    )
    return replace(base, **changes)


def claim(
    ledger: Ledger, *requests: ClaimRequest, now_ms: int = NOON, owner: str = "me", caps: Any = None
) -> ClaimResult:
    """Claim in one transaction, with a lease of three minutes."""
    with ledger.write(now_ms=now_ms, actor=owner) as tx:
        return claims.claim(tx, requests, caps=caps or CAPS, owner=owner, lease_until=now_ms + 180_000)


def send(ledger: Ledger, attempt_id: str, *, now_ms: int = NOON, owner: str = "me") -> Moved | Stale:
    """Mark a claim as being sent."""
    with ledger.write(now_ms=now_ms, actor=owner) as tx:
        return transitions.mark_sending(tx, attempt_id, owner=owner, lease_until=now_ms + 180_000)


def move(ledger: Ledger, attempt_id: str, to: AttemptState, *, now_ms: int = NOON, **data: Any) -> Moved | Stale:
    """Any move that the table allows."""
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        return transitions.move(tx, attempt_id, to=to, expect=frozenset(S), data=data)


def submit(ledger: Ledger, attempt_id: str, task_id: str = "task-1", *, now_ms: int = NOON) -> Moved | Stale:
    """The upstream named a task."""
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        return transitions.submitted(tx, attempt_id, task_id=task_id, found_by="post", due_at=now_ms + 60_000)


def succeed(
    ledger: Ledger, attempt_id: str, *, reported_micros: int | None = 2_000_000, now_ms: int = NOON
) -> Moved | Stale:
    """The upstream finished the task."""
    data: dict[str, Any] = {"video_id": "999", "url": "https://x/9.mp4", "reported_duration_ms": 9_600}
    data["reported_micros"] = reported_micros
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        moved = transitions.move(tx, attempt_id, to=S.SUCCEEDED, expect=POLLED, data=data)
        transitions.schedule(tx, attempt_id, account="kling-main", due_at=now_ms)
        return moved


def store(ledger: Ledger, attempt_id: str, *, now_ms: int = NOON) -> Moved | Stale:
    """The file is ours."""
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        data: dict[str, Any] = {"sha256": "ab" * 32, "path": "ab/ab.mp4", "bytes": 5, "output_kind": "full"}
        data["probed_duration_ms"] = 9_600
        moved = transitions.move(tx, attempt_id, to=S.STORED, expect=frozenset({S.SUCCEEDED}), data=data)
        transitions.unschedule(tx, attempt_id)
        return moved


def run_through(ledger: Ledger, video: str = "harbour", hop: int = 1, **changes: Any) -> str:
    """Move a hop from claimed to stored; return the attempt id."""
    claimed = request(video, hop, **changes)
    claim(ledger, claimed)
    send(ledger, claimed.attempt_id)
    submit(ledger, claimed.attempt_id, f"task-{video}-{hop}-{claimed.attempt_id}")
    succeed(ledger, claimed.attempt_id)
    store(ledger, claimed.attempt_id)
    return claimed.attempt_id
