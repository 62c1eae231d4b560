"""Dagster's overhead a hop: many hops in one run of a real `dagster dev`, and a run a hop."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

from sqlalchemy import func, select

from benchmarks.context import Context, Home
from benchmarks.measure import CLI, Cost, ProgramFailedError, run
from benchmarks.report import Section, ratio
from benchmarks.services import ROOT, cpu_of, dagster_dev, graphql, memory_of, program
from benchmarks.upstream import upstream
from benchmarks.worlds import seeds, write_world
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger

HOPS: Final = 300
FEW: Final = 10
RUNS: Final = 2  # of a hop each
WAIT_S: Final = 20.0  # for which a Dagster with nothing to do is watched; the slowest sensors tick once a minute

_LINGER: Final = {"EXTEND_PIPELINE_LINGER_S": "2"}
_STATES: Final = "[QUEUED, NOT_STARTED, STARTING, STARTED]"
_UNFINISHED: Final = f"{{ runsOrError(filter: {{statuses: {_STATES}}}) {{ ... on Runs {{ results {{ runId }} }} }} }}"


def measure(context: Context) -> Section:
    """Measure the three ways, one after the other."""
    count = max(3 * FEW, context.scaled(HOPS))
    section = Section("Dagster's overhead a hop")
    few, waiting = _dev(context, FEW, wait_s=WAIT_S)
    many, _ = _dev(context, count)
    batched = (many.cpu - few.cpu) / (count - FEW)
    ticks = waiting * (many.wall - few.wall) / (count - FEW)
    single = _run_a_hop(context)
    alone_few, alone_many = _alone(context, FEW), _alone(context, count)
    alone = (alone_many.cpu - alone_few.cpu) / (count - FEW)
    section.note(
        f"`dagster dev`: CPU of its processes from the start until {count} hops of an account are stored and reported; "
        f"what {FEW} hops cost is taken away. A run a hop: `dagster job execute`, its start included. *By time*: what "
        f"its processes cost a second with nothing to do, for the seconds that the other hops took; no hop costs it, "
        f"and the slower the machine or the provider, the more it is."
    )
    part = batched - alone
    rows = [
        ["command line", f"{alone:.3f} s", ratio(alone, single), *_whole(alone_many)],
        ["`dagster dev`, batched", f"{batched:.3f} s", ratio(batched, single), *_whole(many)],
        _part("Dagster's part of it", part, single),
        _part("of that part, by time", ticks, single),
        _part("of that part, by hop", part - ticks, single),
        ["a run a hop", f"{single:.3f} s", "1.00", "–", "–"],
    ]
    section.table(["", "CPU a hop", "of a run a hop", f"CPU of {count} hops", "wall"], rows)
    section.note(
        f"`dagster dev` until {FEW} hops are stored: {few.cpu:.1f} s of CPU, its start included. With nothing to do: "
        f"{waiting:.3f} s of CPU a second. Memory at the end: {many.memory:.0f} MB in all its processes."
    )
    return section


def _part(name: str, cpu: float, single: float) -> list[str]:
    return [name, f"{cpu:.3f} s", f"1/{single / max(0.001, cpu):.0f}", "–", "–"]


def _whole(cost: Cost) -> tuple[str, str]:
    return f"{cost.cpu:.1f} s", f"{cost.wall:.0f} s"


def _dev(context: Context, count: int, *, wait_s: float = 0.0) -> tuple[Cost, float]:
    """Let a real `dagster dev` take one hop of each of `count` videos; return its cost, and what it costs after that
    with nothing to do (CPU seconds a second over `wait_s`)."""
    state, home = context.home("sandbox").settings.home, context.home("dagster")
    with upstream(state, seeds=seeds("kling", count)) as sandbox:
        write_world(home.settings.home, "kling", count, sandbox.base_url)
        began = time.monotonic()
        with dagster_dev(home, _LINGER) as (pid, url):
            _wait_until_reported(home, url, count, seconds=300 + count)
            cost = Cost(time.monotonic() - began, cpu_of(pid), memory_of(pid))
            time.sleep(wait_s)
            return cost, (cpu_of(pid) - cost.cpu) / max(wait_s, 1.0)


def _wait_until_reported(home: Home, url: str, count: int, *, seconds: float) -> None:
    """Wait until all hops are stored, and no run goes on any more."""
    ends = time.monotonic() + seconds
    with closing(open_ledger(home.settings.ledger_url)) as ledger:
        while time.monotonic() < ends:
            time.sleep(1)
            if is_reported(ledger, url, count):
                return
    raise ProgramFailedError(f"{count} hops were not stored within {seconds:g} s through Dagster")


def is_reported(ledger: Ledger, url: str, count: int) -> bool:
    """Return whether so many hops are stored, and no run of the Dagster at an address goes on any more."""
    stored = select(func.count()).where(tables.attempts.c.state == "stored")
    with ledger.read() as connection:
        if connection.execute(stored).scalar_one() < count:
            return False
    return not graphql(url, _UNFINISHED)["runsOrError"]["results"]


def _run_a_hop(context: Context) -> float:
    """Return the CPU seconds of a run that takes one hop."""
    costs = []
    for _ in range(RUNS):
        state, home = context.home("sandbox").settings.home, context.home("dagster")
        with upstream(state, seeds=seeds("kling", 1)) as sandbox:
            write_world(home.settings.home, "kling", 1, sandbox.base_url)
            environment = {**home.environment, "DAGSTER_HOME": str(home.settings.home)}
            environment |= {"EXTEND_PIPELINE_LINGER_S": "0", "PYTHONPATH": str(ROOT)}
            job = ["job", "execute", "-m", "extend_pipeline.definitions", "-j", "advance_job"]
            costs.append(run([program("dagster"), *job], environment, folder=home.settings.home))
            if len(sandbox.charges()["charges"]) != 1:
                raise ProgramFailedError(f"a run of one hop bought none:\n{costs[-1].output[-2000:]}")
    return sum(cost.cpu for cost in costs) / RUNS


def _alone(context: Context, count: int) -> Cost:
    """Take the same hops by the command line."""
    state, home = context.home("sandbox").settings.home, context.home("advance")
    with upstream(state, seeds=seeds("kling", count)) as sandbox:
        write_world(home.settings.home, "kling", count, sandbox.base_url)
        return run([*CLI, "advance", "--until-idle"], home.environment)
