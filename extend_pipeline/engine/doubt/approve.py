"""A person's decision about edits that would pay again for what was paid for: keep what is there, or pay anew."""

from __future__ import annotations

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
    """An edit of a video that was decided about."""

    video_key: str
    account: str
    edit: Edit


def approve(
    pipeline: Pipeline, *, decision: Decision, videos: Collection[str] | None, who: str, why: str = ""
) -> list[Approved]:
    """Decide about the edits that wait for it, of the named videos or of all; submits nothing. Returns them in the
    order of the catalogue; a video without an edit that waits is left out."""
    planned = plan(plan_input(pipeline, videos=videos))
    decided = [Approved(video.key, video.account, video.edit) for video in planned.videos if video.edit is not None]
    if not decided:
        return []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=f"{who} ({why})" if why else who) as tx:
        for approved in decided:
            choices = approved.edit.keep if decision == "keep" else approved.edit.pay
            names.choose(tx, approved.video_key, choices, why=decision)
    return decided
