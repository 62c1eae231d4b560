"""Paid tasks of videos that have left the catalogue and that only a person can end: no plan shows them."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.hop_state import Blocked, classify_hop
from extend_pipeline.engine.plan.inputs import view_of
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import POLLED, AttemptState


@dataclass(frozen=True, slots=True)
class LeftOver:
    """One task that runs for longer than its account's patience, or whose file doesn't come. It is looked after on."""

    video_key: str
    hop: int
    account: str
    task_id: str
    message: str
    todo: str


def left_over(pipeline: Pipeline) -> tuple[LeftOver, ...]:
    """Return those tasks; costs a look at what is in flight."""
    with pipeline.ledger.read() as connection:
        live = queries.attempts_in(connection, (*POLLED, AttemptState.SUCCEEDED))
        catalogue, accounts = pipeline.configuration.catalogue.videos, pipeline.accounts
        rows = [row for row in live if row.video_key not in catalogue and row.account in accounts]
        rows = [row for row in rows if not row.is_adopted]
        hints = queries.hints(connection) if rows else {}
    found = []
    for row in rows:
        hint = hints.get(row.attempt_id)
        view = view_of(row, LastLook() if hint is None else hint.look)
        judged = classify_hop(row.where, [view], accounts[row.account], pipeline.now_ms())
        if isinstance(judged, Blocked):
            held = judged.blocker
            message = f"{held.message}; the catalogue has no such video now"
            found.append(LeftOver(row.video_key, row.hop, row.account, row.task, message, held.todo))
    return tuple(found)
