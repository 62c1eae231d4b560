"""The operator's decision about edits that would pay again for paid hops: keep the paid films, or pay again."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Edit
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.write import names

Decision = Literal["keep", "pay"]


@dataclass(frozen=True, slots=True)
class Approved:
    """An edit of a video that the operator has decided about."""

    video_key: str
    account: str
    edit: Edit


def approve(
    pipeline: Pipeline, *, decision: Decision, videos: Collection[str] | None, who: str, why: str = ""
) -> list[Approved]:
    """Record a decision about the pending edits of the named videos, or of all; submit nothing. Return the edits in
    catalogue order; videos without a pending edit are left out."""
    planned = plan(plan_input(pipeline, videos=videos))
    decided = [Approved(video.key, video.account, video.edit) for video in planned.videos if video.edit is not None]
    if not decided:
        return []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=f"{who} ({why})" if why else who) as tx:
        for approved in decided:
            choices = approved.edit.keep if decision == "keep" else approved.edit.pay
            names.choose(tx, approved.video_key, choices, why=decision)
    return decided
