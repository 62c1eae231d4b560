"""What a round would find to do right now, in words; reads only. Sensors ask this before they ask for a run."""

from __future__ import annotations

from collections.abc import Collection

from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.engine.plan import plan
from extend_pipeline.engine.recover import lease_is_over
from extend_pipeline.engine.snapshot import declarations, plan_input
from extend_pipeline.ledger import declare, due, reads
from extend_pipeline.ledger.states import AttemptState

S = AttemptState


def due_work(pipeline: Pipeline, *, accounts: Collection[str]) -> list[str]:
    """Reasons for a run; empty when a round would do nothing for these accounts."""
    now_ms = pipeline.now_ms()
    reasons: list[str] = []
    with pipeline.ledger.read() as connection:
        if declare.stale_declarations(reads.videos(connection), declarations(pipeline)):
            reasons.append("the catalogue changed")
        held = reads.attempts_in(connection, (S.CLAIMED, S.SENDING))
    if any(row.account in accounts and lease_is_over(row, now_ms) for row in held):
        reasons.append("a process ended in the middle of a submit")
    if due.has_due(pipeline.ledger, now_ms=now_ms, states=(S.SUCCEEDED,), accounts=accounts):
        reasons.append("a result is to be fetched")
    if due.has_due(pipeline.ledger, now_ms=now_ms, states=(S.IN_DOUBT,), accounts=accounts):
        reasons.append("an attempt in doubt is to be looked up")
    steps = [step for step in plan(plan_input(pipeline, unfinished=True)).due if step.video.account in accounts]
    if steps:
        reasons.append(f"{len(steps)} steps are to be submitted")
    return reasons
