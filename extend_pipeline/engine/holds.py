"""What keeps this process from submitting, whatever the ledger says: mistakes in the catalogue or the accounts."""

from __future__ import annotations

from typing import Final

from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.engine.plan_types import Hindrance, Obstacle

MOST_TOLD: Final = 3  # mistakes that a video's reason names; status tells all of them


def held_accounts(pipeline: Pipeline) -> dict[str, Hindrance]:
    """Return why nothing is submitted for an account, by account; accounts that may submit are left out."""
    problems = pipeline.configuration.problems
    if not problems:
        return {}
    more = f" … and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
    lines = " ".join(problem.text() for problem in problems[:MOST_TOLD])
    message = f"nothing is submitted while the catalogue or the accounts have a mistake: {lines}{more}"
    todo = "correct the file; what is paid for is polled and fetched meanwhile"
    return dict.fromkeys(pipeline.accounts, Hindrance(Obstacle.CONFIGURATION, message, todo))


def mistakes(pipeline: Pipeline) -> tuple[str, ...]:
    """Return what is wrong with the files, one line a mistake."""
    return tuple(problem.text() for problem in pipeline.configuration.problems)
