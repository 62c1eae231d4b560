"""The operator of a test: which attempts a decision may concern, and how it is carried out. When an operator decides,
and what, is each test's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Row

from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.decisions.resolve import Declined, Resolved
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import LIVE, AttemptState
from extend_pipeline.ledger.write import controls

OPERATOR: Final = "ann"


@dataclass(frozen=True)
class Decision:
    """A decision about VIDEO/HOP, about all accounts (`resume`), or about the ledger (`accept`)."""

    verb: Literal["adopt", "resubmit", "write_off", "resume", "accept"]
    where: str = ""
    task_id: str = ""


def decide(pipeline: Pipeline, decision: Decision) -> Resolved | Declined:
    """Carry out a decision about a hop. Raise ValueError for the other verbs."""
    match decision.verb:
        case "adopt":
            reason = "the console shows it"
            return resolve.adopt(pipeline, decision.where, decision.task_id, who=OPERATOR, why=reason)
        case "resubmit":
            return resolve.resubmit(pipeline, decision.where, who=OPERATOR, why="it may be paid for again")
        case "write_off":
            return resolve.write_off(pipeline, decision.where, who=OPERATOR, why="the console shows nothing")
        case _:
            raise ValueError(f"{decision.verb} is no decision about a hop")


def pause(pipeline: Pipeline, account: str) -> None:
    """Pause an account, or all of them."""
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=OPERATOR) as tx:
        controls.pause(tx, account, why="to look at it")


def resume(pipeline: Pipeline, account: str = tables.ALL_ACCOUNTS) -> int:
    """Lift the pause and the stop of an account, or of all; return how many were lifted."""
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=OPERATOR) as tx:
        return len(controls.resume(tx, account, why="the cause is fixed"))


def attempts_to_decide(attempts: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the attempt of each hop that a decision concerns: the live one, else the last. `attempts` are in the order
    of their tries."""
    hops: dict[tuple[str, int], Row[Any]] = {}
    for row in attempts:
        current = hops.get((row.video_key, row.hop))
        if current is None or AttemptState(current.state) not in LIVE:
            hops[row.video_key, row.hop] = row
    return list(hops.values())
