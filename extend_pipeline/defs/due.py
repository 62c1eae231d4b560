"""What a tick finds out about some accounts: polls what is due, then says what a run would have to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.engine.plan import plan
from extend_pipeline.engine.plan_types import VideoPlan
from extend_pipeline.engine.poll import poll_due
from extend_pipeline.engine.recover import lease_is_over
from extend_pipeline.engine.snapshot import plan_input
from extend_pipeline.ledger import due, reads
from extend_pipeline.ledger.states import AttemptState

S = AttemptState


@dataclass(frozen=True, slots=True)
class Due:
    """`what` is due, in words (empty: nothing), and how many tasks were looked at."""

    what: str
    looked_at: int


def something_due(pipeline: Pipeline, accounts: Sequence[str], *, deadline: float, clock: Callable[[], float]) -> Due:
    """Poll the accounts one by one until `deadline` on `clock`; what was not reached comes with the next tick, since
    the longest overdue is polled first. Then see whether a run has anything to do for them."""
    looked_at = 0
    longest_overdue = sorted(accounts, key=lambda name: _next_look(pipeline, name))
    for name in longest_overdue:
        if clock() >= deadline:
            break
        looked_at += poll_due(pipeline, accounts=[name]).polled
    return Due("; ".join(_reasons(pipeline, accounts)), looked_at)


def _next_look(pipeline: Pipeline, account: str) -> int:
    with pipeline.ledger.read() as connection:
        waiting = [row.due_at for row in reads.notes(connection).values() if row.account == account]
    return min(waiting, default=pipeline.now_ms())


def _reasons(pipeline: Pipeline, accounts: Sequence[str]) -> list[str]:
    now_ms, ledger = pipeline.now_ms(), pipeline.ledger
    found = []
    if due.has_due(ledger, now_ms=now_ms, states=(S.SUCCEEDED,), accounts=accounts):
        found.append("results to fetch")
    if due.has_due(ledger, now_ms=now_ms, states=(S.IN_DOUBT,), accounts=accounts):
        found.append("attempts in doubt to look up")
    declare_catalogue(pipeline)
    now = plan(plan_input(pipeline, unfinished=True))
    with ledger.read() as connection:
        held = reads.attempts_in(connection, (S.CLAIMED, S.SENDING))
        known = {row.video_key: row for row in reads.videos(connection, unfinished=True)}
    if any(row.account in accounts and lease_is_over(row, now_ms) for row in held):
        found.append("leases that ran out")
    steps = sum(step.video.account in accounts for step in now.due)
    if steps:
        found.append(f"{steps} steps to submit")
    moved = sum(video.account in accounts and _moved(known.get(video.key), video) for video in now.videos)
    if moved:
        found.append(f"{moved} videos whose state changed")
    return found


def _moved(row: Row[Any] | None, video: VideoPlan) -> bool:
    """Whether a video's state in words is out of date. Not its detail, which counts minutes."""
    reason = video.hindrance.obstacle.value if video.hindrance else ""
    return row is not None and (row.state, row.state_reason) != (video.state.value, reason)
