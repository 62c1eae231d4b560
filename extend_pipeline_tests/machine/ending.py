"""The end of an example: the operator decides what is left, the pipeline comes to rest, and all amounts agree."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Final

from extend_pipeline.base.units import to_micros
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Resolved
from extend_pipeline.engine.drive import next_moment_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import LIVE, AttemptState, VideoState
from extend_pipeline_tests.machine.checks import unexpected_charges
from extend_pipeline_tests.machine.world import operator
from extend_pipeline_tests.machine.world.statements import compare_invoice, reconcile_kling
from extend_pipeline_tests.machine.world.world import ACCOUNTS, World, days
from extend_pipeline_tests.support.harness.charges import attempts_in, charge_book
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same

S = AttemptState

_ROUNDS: Final = 300
_PACE_S: Final = 120.0  # the operator doesn't watch every poll
_PAY_AGAIN: Final = frozenset({BlockReason.REJECTED, BlockReason.FAILED, BlockReason.WRITTEN_OFF})
_MAX_DECISIONS: Final = 12  # then the operator gives up: steps that are refused again and again may wait


def come_to_rest(world: World) -> None:
    """Wake what stands still, lift every stop, decide every doubt, and go on until nothing is left to do."""
    for process in world.stopped():
        process.wake()
    pipeline = world.process(0).pipeline
    for name in ACCOUNTS:
        operator.raise_budget(world, name, 50)
    world.jump(61)  # the leases of processes that have ended are over
    decided = 0
    for _ in range(_ROUNDS):
        operator.resume(world, pipeline, tables.ALL_ACCOUNTS)
        now = advance(pipeline, publish=False)
        moment = next_moment_ms(pipeline, now)
        if moment is not None:
            world.jump(min(max((moment - world.now) / 1000, _PACE_S), days(1)))
            continue
        decisions = _decide(world, pipeline) if decided < _MAX_DECISIONS else 0
        decided += decisions
        if not decisions:
            break
    else:
        raise AssertionError(f"not at rest after {_ROUNDS} rounds: {plan(plan_input(pipeline)).videos}")
    _nothing_left_behind(world, pipeline)


def _decide(world: World, pipeline: Pipeline) -> int:
    """Decide everything that waits for the operator; return the number of decisions."""
    decided = 0
    for row in operator.decidable(world):
        if row.state == S.IN_DOUBT:
            decision = "adopt" if operator.own_tasks(world, row) else "write-off"
            decided += isinstance(operator.decide(world, pipeline, row, decision), Resolved)
    for video in plan(plan_input(pipeline, unfinished=True)).needs_person:
        if video.blocker is None or video.blocker.reason not in _PAY_AGAIN:
            continue
        for row in operator.decidable(world):
            again = row.video_key == video.key and row.hop == video.hops_done + 1 and not row.resubmit_allowed
            if again and S(row.state) not in LIVE:
                decided += isinstance(operator.decide(world, pipeline, row, "resubmit"), Resolved)
    return decided


def _nothing_left_behind(world: World, pipeline: Pipeline) -> None:
    left = [
        f"{video.key} is {video.state}: {video.blocker}"
        for video in plan(plan_input(pipeline)).videos
        if video.state is not VideoState.COMPLETE and (video.blocker is None or not video.blocker.reason.needs_person)
    ]
    assert not left, left
    for video in plan(plan_input(pipeline)).videos:
        reason = "complete" if video.blocker is None else video.blocker.reason.value
        world.counters.add(f"ended: {reason}")
    held = [row for row in attempts_in(world.ledger) if row.state in (S.CLAIMED, S.SENDING)]
    assert not held, [f"{row.video_key}/{row.hop} is {row.state}" for row in held]


def all_charges_agree(world: World) -> None:
    """Import the providers' statements and fetch the tasks that they show. Then check that every charge is known, that
    all sums are equal, and that a replay yields the same ledger."""
    pipeline = world.process(0).pipeline
    for _ in range(2):  # what was adopted at first is compared the second time
        world.jump(days(2))  # a bill that doesn't show a failed task tells so only when it is surely whole
        reconcile_kling(pipeline)
        for name in ACCOUNTS[1:]:
            compare_invoice(world, pipeline, name)
        world.jump(61)
        for _ in range(40):
            operator.resume(world, pipeline, tables.ALL_ACCOUNTS)
            moment = next_moment_ms(pipeline, advance(pipeline, submit=False, publish=False))
            if moment is None or moment - world.now > 86_400_000:
                break
            world.jump(max((moment - world.now) / 1000, _PACE_S))
    book, attempts = charge_book(world.home.sandbox), attempts_in(world.ledger)
    findings = unexpected_charges(world, book, attempts, at_the_end=True)
    with world.ledger.read() as connection:
        booked = {name: reconciliation_queries.booked(connection, name) for name in ACCOUNTS}
    booked_sums: dict[str, int] = defaultdict(int)
    charged_sums: dict[str, int] = defaultdict(int)
    kept = {charge["task_id"]: charge for charge in book.kept}
    for row in attempts:
        if row.task_id is None or row.state in (S.SUBMITTED, S.PROCESSING):
            continue
        charge = kept.get(row.task_id)
        here = booked[row.account].get(row.attempt_id, 0)
        there = 0 if charge is None else to_micros(Decimal(charge["units"]))
        if row.state == S.WRITTEN_OFF and not there:
            continue  # booked by the operator; where no bill shows it, only the operator gives it back
        booked_sums[row.account] += here
        charged_sums[row.account] += there
        if here != there:
            findings.append(
                f"{row.video_key}/{row.hop} ({row.state}): {here} booked for task {row.task_id}, it cost {there}"
            )
    assert not findings, "\n".join(findings)
    assert booked_sums == charged_sums, (booked_sums, charged_sums)
    replays_to_the_same(world.ledger, world.folder)
