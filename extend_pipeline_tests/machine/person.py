"""The person of the machine: decides what only a person may, after looking at the provider's console (the sandbox's
list of tasks), and sometimes without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, select

from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.decisions.resolve import Declined, Resolved
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import controls, reconciliation
from extend_pipeline_tests.chaos.counting import made_from, written_of
from extend_pipeline_tests.machine.world import World

S = AttemptState

WHO: Final = "ann"
DECISIONS: Final = ("adopt", "adopt wrong", "resubmit", "write-off")


def attempts_of(world: World) -> list[Row[Any]]:
    """Every attempt, in the order of their names."""
    table = tables.attempts
    with world.ledger.read() as connection:
        return list(connection.execute(select(table).order_by(table.c.claimed_at, table.c.attempt_id)))


def decidable(world: World) -> list[Row[Any]]:
    """What a person may decide about: all but what a stopped process may still send, which nobody could know of."""
    owners = {process.pipeline.owner for process in world.stopped()}
    return [row for row in attempts_of(world) if row.owner not in owners and row.state not in (S.CLAIMED, S.SENDING)]


def decide(world: World, pipeline: Pipeline, row: Row[Any], decision: str, number: int = 0) -> Resolved | Declined:
    """Say one of DECISIONS about an attempt; `number` chooses among tasks."""
    where = f"{row.video_key}/{row.hop}"
    match decision:
        case "adopt":
            tasks = own_tasks(world, row)
            told = resolve.adopt(
                pipeline, where, tasks[number % len(tasks)] if tasks else "no-such-task", who=WHO, why="in the console"
            )
        case "adopt wrong":
            tasks = wrong_tasks(world, row)
            told = resolve.adopt(pipeline, where, tasks[number % len(tasks)], who=WHO, why="a slip")
            assert isinstance(told, Declined), f"{where} took {tasks[number % len(tasks)]}: {told}"
        case "resubmit":
            told = resolve.resubmit(pipeline, where, who=WHO, why="pay for another try")
            world.words += isinstance(told, Resolved)
        case _:
            told = resolve.write_off(pipeline, where, who=WHO, why="lost")
    world.tally.add(f"decision: {decision}{'' if isinstance(told, Resolved) else ', declined'}")
    return told


def own_tasks(world: World, row: Row[Any]) -> list[str]:
    """Tasks of the console that nobody holds and that are made from the attempt's parent, by our request."""
    taken = {each.task_id for each in attempts_of(world)}
    return [
        task["task_id"]
        for task in world.home.sandbox.tasks()
        if task["task_id"] not in taken and task["task_id"] not in world.foreign and _is_of(row, task)
    ]


def wrong_tasks(world: World, row: Row[Any]) -> list[str]:
    """Tasks that can't be the attempt's, as far as anybody can tell; Luma's tell nothing of where they come from, so
    that only held ones are refused."""
    taken = {each.task_id for each in attempts_of(world) if each.account == row.account}
    wrong = [
        task["task_id"]
        for task in world.home.sandbox.tasks()
        if (task["task_id"] in taken if row.provider in ("luma", "vidu") else not _is_of(row, task))
    ]
    return [*wrong, "no-such-task"]


def _is_of(row: Row[Any], task: Mapping[str, Any]) -> bool:
    if row.submit_class == "A" and task["external_task_id"] != row.external_task_id:
        return False
    return made_from(written_of(row), {"video_id": task["parent_video_id"], "account": task["account"]})


def pause(world: World, pipeline: Pipeline, name: str) -> None:
    """Pause an account or all."""
    with pipeline.ledger.write(now_ms=world.now, actor=WHO) as tx:
        controls.pause(tx, name, why="let me see")
    world.tally.add("decision: pause")


def resume(world: World, pipeline: Pipeline, name: str) -> None:
    """Lift a pause or a stop."""
    with pipeline.ledger.write(now_ms=world.now, actor=WHO) as tx:
        lifted = controls.resume(tx, name, why="all is well")
    world.tally.add("decision: resume", len(lifted))


def raise_budget(world: World, name: str, times: float = 2.0) -> None:
    """Give an account more."""
    world.budgets[name] = {cap: units * times for cap, units in world.budgets[name].items()}
    world.write_accounts()
    world.tally.add("decision: more budget")


def accept(world: World, pipeline: Pipeline, number: int) -> None:
    """Let a difference of a reconciliation be."""
    with pipeline.ledger.read() as connection:
        open_ones = reconciliation_queries.disagreements(connection)
    if not open_ones:
        return
    row = open_ones[number % len(open_ones)]
    with pipeline.ledger.write(now_ms=world.now, actor=WHO) as tx:
        done = reconciliation.accept(tx, account=row.account, source=row.source, task_id=row.task_id, why="known")
    world.tally.add("decision: accept", done)


def newest(rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """The newest attempt of each hop."""
    hops: dict[tuple[str, int], Row[Any]] = {}
    for row in rows:
        hops[row.video_key, row.hop] = row
    return list(hops.values())
