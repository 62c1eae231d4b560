"""The operator of the machine: makes the decisions that only an operator may, after looking at the provider's console
(the sandbox's list of tasks), and sometimes without."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from extend_pipeline.engine.decisions.resolve import Declined, Resolved
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline_tests.machine.world.world import World
from extend_pipeline_tests.support.harness import operator
from extend_pipeline_tests.support.harness.charges import attempts_in, tasks_of
from extend_pipeline_tests.support.harness.operator import OPERATOR, Decision, attempts_to_decide

S = AttemptState

DECISIONS: Final = ("adopt", "adopt wrong", "resubmit", "write-off")
NO_TASK: Final = "no-such-task"


def decidable(world: World) -> list[Row[Any]]:
    """Return the attempts that decisions may concern: all but those that a stopped process may still send, which no
    operator could know of."""
    owners = {process.pipeline.owner for process in world.stopped()}
    attempts = [row for row in attempts_in(world.ledger) if row.owner not in owners]
    return attempts_to_decide([row for row in attempts if row.state not in (S.CLAIMED, S.SENDING)])


def decide(world: World, pipeline: Pipeline, row: Row[Any], decision: str, number: int = 0) -> Resolved | Declined:
    """Make one of DECISIONS about an attempt; `number` chooses among tasks."""
    where = f"{row.video_key}/{row.hop}"
    match decision:
        case "adopt":
            tasks = own_tasks(world, row) or [NO_TASK]
            outcome = operator.decide(pipeline, Decision("adopt", where, tasks[number % len(tasks)]))
        case "adopt wrong":
            tasks = wrong_tasks(world, row)
            task_id = tasks[number % len(tasks)]
            outcome = operator.decide(pipeline, Decision("adopt", where, task_id))
            assert isinstance(outcome, Declined), f"{where} adopted {task_id}: {outcome}"
        case "resubmit":
            outcome = operator.decide(pipeline, Decision("resubmit", where))
            world.resubmits += isinstance(outcome, Resolved)
        case _:
            outcome = operator.decide(pipeline, Decision("write_off", where))
    world.counters.add(f"decision: {decision}{'' if isinstance(outcome, Resolved) else ', declined'}")
    return outcome


def own_tasks(world: World, row: Row[Any]) -> list[str]:
    """Return the tasks of the console that the attempt may have made, that no attempt holds, and that we requested."""
    taken = {attempt.task_id for attempt in attempts_in(world.ledger)} | world.foreign
    return [task["task_id"] for task in tasks_of(row, world.home.sandbox.tasks(), taken)]


def wrong_tasks(world: World, row: Row[Any]) -> list[str]:
    """Return tasks that can't be the attempt's, as far as a provider shows. Luma and Vidu don't show the parent, so
    that only held tasks are refused there."""
    taken = {attempt.task_id for attempt in attempts_in(world.ledger) if attempt.account == row.account}
    tasks = world.home.sandbox.tasks()
    own = {task["task_id"] for task in tasks_of(row, tasks, ())}
    wrong = [
        task["task_id"]
        for task in tasks
        if (task["task_id"] in taken if row.provider in ("luma", "vidu") else task["task_id"] not in own)
    ]
    return [*wrong, NO_TASK]


def pause(world: World, pipeline: Pipeline, name: str) -> None:
    """Pause an account or all."""
    operator.pause(pipeline, name)
    world.counters.add("decision: pause")


def resume(world: World, pipeline: Pipeline, name: str) -> None:
    """Lift a pause or a stop."""
    world.counters.add("decision: resume", operator.resume(pipeline, name))


def raise_budget(world: World, name: str, times: float = 2.0) -> None:
    """Multiply an account's budget."""
    world.budgets[name] = {cap: units * times for cap, units in world.budgets[name].items()}
    world.write_accounts()
    world.counters.add("decision: more budget")


def accept(world: World, pipeline: Pipeline, number: int) -> None:
    """Accept a difference of a reconciliation."""
    with pipeline.ledger.read() as connection:
        differences = reconciliation_queries.disagreements(connection)
    if not differences:
        return
    row = differences[number % len(differences)]
    with pipeline.ledger.write(now_ms=world.now, actor=OPERATOR) as tx:
        accepted = reconciliation.accept(tx, account=row.account, source=row.source, task_id=row.task_id, why="known")
    world.counters.add("decision: accept", accepted)
