"""The person of a storm: pauses and resumes, lifts the stops of accounts, and decides doubts after looking at the
provider's console, which is the sandbox's list of tasks."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, select

from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.home import Pipeline, owner_is_gone
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import controls
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.chaos.counting import made_from, written_of
from extend_pipeline_tests.chaos.homes import ACCOUNTS

S = AttemptState

WHO: Final = "ann"
_PATIENCE_MS: Final = 1_500  # a doubt is left alone for so long: its POST may still be under way
_PAY_AGAIN: Final = frozenset({BlockReason.REJECTED, BlockReason.FAILED, BlockReason.WRITTEN_OFF})
"""Ends that cost nothing, or whose charge was booked though nobody found a task: the hop may be tried again."""


@dataclass
class Person:
    """Looks at a home and decides; `did` counts what."""

    pipeline: Pipeline
    sandbox: SandboxHandle
    random: random.Random
    did: Counter[str] = field(default_factory=Counter)

    def look(self, *, calm: bool = False) -> int:
        """Do once what a person does when they look; answers how many decisions were made. In the calm nothing can be
        under way any more, so that every doubt may be decided."""
        before = self.did.total()
        self.lift_stops()
        if not calm and self.random.random() < 0.15:
            self.pause_for_a_moment()
        self.decide_doubts(calm=calm)
        self.try_again()
        return self.did.total() - before

    def lift_stops(self) -> None:
        """Resume every account that evidence has stopped: it is mended."""
        with self.pipeline.ledger.read() as connection:
            stopped = [name for name, row in queries.accounts(connection).items() if row.stopped_reason is not None]
        for name in stopped:
            with self._write() as tx:
                self.did["resumed"] += len(controls.resume(tx, name, why="mended"))

    def pause_for_a_moment(self) -> None:
        """Pause one account or all, and think better of it."""
        name = self.random.choice((*ACCOUNTS, tables.ALL_ACCOUNTS))
        with self._write() as tx:
            controls.pause(tx, name, why="let me see")
        time.sleep(self.random.uniform(0.1, 0.4))  # how long the person thinks, not a wait for anything
        with self._write() as tx:
            controls.resume(tx, name, why="all is well")
        self.did["paused"] += 1

    def decide_doubts(self, *, calm: bool) -> None:
        """Adopt the task that the console shows for the parent of an attempt in doubt; without one, pay again."""
        with self.pipeline.ledger.read() as connection:
            doubts = queries.attempts_in(connection, [S.IN_DOUBT])
            events = tables.events
            own = select(events.c.attempt_id, events.c.actor).where(events.c.kind == "attempt_in_doubt")
            told_by = {row.attempt_id: row.actor for row in connection.execute(own)}
            taken = set(connection.execute(select(tables.attempts.c.task_id)).scalars())
        doubts = [row for row in doubts if calm or self._is_over(row, told_by.get(row.attempt_id, ""))]
        if not calm:  # class A settles its own doubts
            doubts = [row for row in doubts if row.submit_class != "A"]
        tasks = self.sandbox.tasks() if doubts else []
        for row in doubts:
            self._decide(row, [task for task in tasks if task["task_id"] not in taken])

    def _is_over(self, row: Row[Any], told_by: str) -> bool:
        """Whether its POST can't be under way any more: who sent it said so, or is no more."""
        old_enough = self.pipeline.now_ms() - (row.in_doubt_at or 0) > _PATIENCE_MS
        return old_enough and (told_by == row.owner or owner_is_gone(row.owner))

    def _decide(self, row: Row[Any], tasks: Sequence[Mapping[str, Any]]) -> None:
        where = f"{row.video_key}/{row.hop}"
        made = sorted((task for task in tasks if _is_of(row, task)), key=lambda task: task["failure"] is not None)
        task = next(iter(made), None)
        if task is not None:
            self._count("adopted", resolve.adopt(self.pipeline, where, task["task_id"], who=WHO, why="in the console"))
            return
        if self.random.random() < 0.5:
            self._count("written off", resolve.write_off(self.pipeline, where, who=WHO, why="not in the console"))
        self._count("resubmitted", resolve.resubmit(self.pipeline, where, who=WHO, why="not in the console"))

    def try_again(self) -> None:
        """Let hops that were refused, or that failed without a charge, be tried again."""
        for video in plan(plan_input(self.pipeline, unfinished=True)).needs_person:
            if video.blocker is not None and video.blocker.reason in _PAY_AGAIN:
                where = f"{video.key}/{video.hops_done + 1}"
                self._count("tried again", resolve.resubmit(self.pipeline, where, who=WHO, why="it was a fault"))

    def _count(self, what: str, word: resolve.Resolved | resolve.Declined) -> None:
        self.did[what if isinstance(word, resolve.Resolved) else f"{what}: declined"] += 1

    def _write(self) -> Any:
        return self.pipeline.ledger.write(now_ms=self.pipeline.now_ms(), actor=WHO)


def _is_of(row: Row[Any], task: Mapping[str, Any]) -> bool:
    """Whether a task of the console is made from the attempt's parent, in its account."""
    return made_from(written_of(row), {"video_id": task["parent_video_id"], "account": task["account"]})
