"""The operator of a storm: pauses and resumes, lifts the stops of accounts, and decides doubts after looking at the
provider's console, which is the sandbox's list of tasks."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select

from extend_pipeline.engine.decisions.resolve import Resolved
from extend_pipeline.engine.home import Pipeline, owner_is_gone
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.chaos.homes import ACCOUNTS
from extend_pipeline_tests.support.harness import operator
from extend_pipeline_tests.support.harness.charges import tasks_of
from extend_pipeline_tests.support.harness.operator import Decision

S = AttemptState

_MIN_AGE_MS: Final = 1_500  # of a doubt, before it is decided: its POST may still be under way
_PAY_AGAIN: Final = frozenset({BlockReason.REJECTED, BlockReason.FAILED, BlockReason.WRITTEN_OFF})
"""Ends that cost nothing, or whose charge was booked although no task was found: the hop may be tried again."""


@dataclass
class Operator:
    """Look at a home and decide; `did` counts the decisions."""

    pipeline: Pipeline
    sandbox: SandboxHandle
    random: random.Random
    did: Counter[str] = field(default_factory=Counter)

    def look(self, *, calm: bool = False) -> int:
        """Make every decision that is due once; return their number. In the calm no POST can be under way any more, so
        that every doubt may be decided."""
        before = self.did.total()
        self.lift_stops()
        if not calm and self.random.random() < 0.15:
            self.pause_for_a_moment()
        self.decide_doubts(calm=calm)
        self.try_again()
        return self.did.total() - before

    def lift_stops(self) -> None:
        """Resume every account that evidence has stopped."""
        with self.pipeline.ledger.read() as connection:
            stopped = [name for name, row in queries.accounts(connection).items() if row.stopped_reason is not None]
        for name in stopped:
            self.did["resumed"] += operator.resume(self.pipeline, name)

    def pause_for_a_moment(self) -> None:
        """Pause one account or all for a moment."""
        name = self.random.choice((*ACCOUNTS, tables.ALL_ACCOUNTS))
        operator.pause(self.pipeline, name)
        time.sleep(self.random.uniform(0.1, 0.4))  # the length of the pause, not a wait for anything
        operator.resume(self.pipeline, name)
        self.did["paused"] += 1

    def decide_doubts(self, *, calm: bool) -> None:
        """Adopt the task that the console shows for the parent of an attempt in doubt; without one, pay again."""
        with self.pipeline.ledger.read() as connection:
            doubts = queries.attempts_in(connection, [S.IN_DOUBT])
            events = tables.events
            own = select(events.c.attempt_id, events.c.actor).where(events.c.kind == "attempt_in_doubt")
            reported_by = {row.attempt_id: row.actor for row in connection.execute(own)}
            taken = set(connection.execute(select(tables.attempts.c.task_id)).scalars())
        doubts = [row for row in doubts if calm or self._is_over(row, reported_by.get(row.attempt_id, ""))]
        if not calm:  # class A settles its own doubts
            doubts = [row for row in doubts if row.submit_class != "A"]
        tasks = self.sandbox.tasks() if doubts else []
        for row in doubts:
            self._decide(row, tasks, taken)

    def _is_over(self, row: AttemptRow, reported_by: str) -> bool:
        """Return whether its POST can't be under way any more: its process reported the doubt itself, or has ended."""
        old_enough = self.pipeline.now_ms() - (row.in_doubt_at or 0) > _MIN_AGE_MS
        return old_enough and (reported_by == row.owner or owner_is_gone(row.owner))

    def _decide(self, row: AttemptRow, tasks: Sequence[Mapping[str, Any]], taken: Collection[Any]) -> None:
        where = f"{row.video_key}/{row.hop}"
        if own := tasks_of(row, tasks, taken):
            task = min(own, key=lambda task: task["failure"] is not None)
            self._carry_out("adopted", Decision("adopt", where, task["task_id"]))
            return
        if self.random.random() < 0.5:
            self._carry_out("written off", Decision("write_off", where))
        self._carry_out("resubmitted", Decision("resubmit", where))

    def try_again(self) -> None:
        """Let hops that were refused, or that failed without a charge, be tried again."""
        for video in plan(plan_input(self.pipeline, unfinished=True)).needs_person:
            if video.blocker is not None and video.blocker.reason in _PAY_AGAIN:
                self._carry_out("tried again", Decision("resubmit", f"{video.key}/{video.hops_done + 1}"))

    def _carry_out(self, name: str, decision: Decision) -> None:
        carried_out = isinstance(operator.decide(self.pipeline, decision), Resolved)
        self.did[name if carried_out else f"{name}: declined"] += 1
