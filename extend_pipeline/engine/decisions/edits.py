"""The operator's decisions about edits of the catalogue: of paid hops, to keep the paid films or pay again; and that
videos were meant to leave it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from extend_pipeline.engine.decisions.resolve import actor_of
from extend_pipeline.engine.guards.process import withdrawn_at_once
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Edit
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.ledger.write.renames_and_choices import Choice, choose

Decision = Literal["keep", "pay"]


@dataclass(frozen=True, slots=True)
class DecidedEdit:
    """An edit of a video that the operator has decided about, from which hop on, and what is left to spend then, in
    micro-units (least, most); None without a price."""

    video_key: str
    account: str
    hop: int
    choices: tuple[Choice, ...]
    left_micros: tuple[int, int] | None


def edits_to_decide(pipeline: Pipeline, *, decision: Decision, videos: Collection[str] | None) -> list[DecidedEdit]:
    """Return what a decision about the pending edits of the named videos, or of all, would be, in catalogue order.
    Videos without a pending edit are left out."""
    planned = plan(plan_input(pipeline, videos=videos))
    edits = [(video.key, video.account, video.edit) for video in planned.videos if video.edit is not None]
    return [DecidedEdit(key, account, edit.hop, *_outcome(edit, decision)) for key, account, edit in edits]


def record_decision(
    pipeline: Pipeline, decided: Sequence[DecidedEdit], *, decision: Decision, who: str, why: str = ""
) -> None:
    """Record a decision about edits; submit nothing."""
    if not decided:
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor_of(who, why)) as tx:
        for edit in decided:
            choose(tx, edit.video_key, edit.choices, why=decision)


def decide_edits(
    pipeline: Pipeline, *, decision: Decision, videos: Collection[str] | None, who: str
) -> list[DecidedEdit]:
    """Decide about the pending edits of the named videos, or of all, as they are now, and return them."""
    decided = edits_to_decide(pipeline, decision=decision, videos=videos)
    record_decision(pipeline, decided, decision=decision, who=who)
    return decided


def confirm_withdrawn(pipeline: Pipeline, *, who: str, why: str = "") -> tuple[str, ...]:
    """Record that the videos that left the catalogue with many others at once were meant to leave; return their keys,
    none if there are none."""
    if withdrawn_at_once(pipeline) is None:
        return ()
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor_of(who, why)) as tx:
        return catalog_sync.confirm_withdrawn(tx, why="that was meant")


def _outcome(edit: Edit, decision: Decision) -> tuple[tuple[Choice, ...], tuple[int, int] | None]:
    match decision:
        case "keep":
            return edit.keep, edit.keep_micros
        case "pay":
            return edit.pay, edit.pay_micros
        case _:  # else a third decision would pay
            assert_never(decision)
