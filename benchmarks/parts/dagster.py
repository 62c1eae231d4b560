"""Dagster's overhead a hop: many hops in one run of a real `dagster dev`, and a run a hop."""

from __future__ import annotations

import json
import time
import urllib.request
from contextlib import closing
from typing import Final

from sqlalchemy import func, select

from benchmarks.context import Context, Home
from benchmarks.measure import CLI, Cost, ProgramFailedError, run
from benchmarks.report import Section, ratio
from benchmarks.services import ROOT, cpu_of, dagster_dev, memory_of, program
from benchmarks.upstream import upstream
from benchmarks.worlds import seeds, write_world
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger

HOPS: Final = 300
FEW: Final = 10
RUNS: Final = 2  # of a hop each

_LINGER: Final = {"EXTEND_PIPELINE_LINGER_S": "2"}
_STATES: Final = "[QUEUED, NOT_STARTED, STARTING, STARTED]"
_UNFINISHED: Final = f"{{ runsOrError(filter: {{statuses: {_STATES}}}) {{ ... on Runs {{ results {{ runId }} }} }} }}"


def measure(context: Context) -> Section:
    """Measure the three ways, one after the other."""
    count = max(3 * FEW, context.scaled(HOPS))
    section = Section("Dagster's overhead a hop")
    few, many = _dev(context, FEW), _dev(context, count)
    batched = (many.cpu - few.cpu) / (count - FEW)
    single = _run_a_hop(context)
    alone_few, alone_many = _alone(context, FEW), _alone(context, count)
    alone = (alone_many.cpu - alone_few.cpu) / (count - FEW)
    section.note(
        f"`dagster dev`: CPU of its processes from the start until {count} hops of an account are stored and reported; "
        f"what {FEW} hops cost is taken away. A run a hop: `dagster job execute`, its start included."
    )
    part = batched - alone
    rows = [
        ["command line", f"{alone:.3f} s", ratio(alone, single), *_whole(alone_many)],
        ["`dagster dev`, batched", f"{batched:.3f} s", ratio(batched, single), *_whole(many)],
        ["Dagster's part of it", f"{part:.3f} s", f"1/{single / max(0.001, part):.0f}", "–", "–"],
        ["a run a hop", f"{single:.3f} s", "1.00", "–", "–"],
    ]
    section.table(["", "CPU a hop", "of a run a hop", f"CPU of {count} hops", "wall"], rows)
    section.note(f"Memory of `dagster dev` at the end: {many.memory:.0f} MB in all its processes.")
    return section


def _whole(cost: Cost) -> tuple[str, str]:
    return f"{cost.cpu:.1f} s", f"{cost.wall:.0f} s"


def _dev(context: Context, count: int) -> Cost:
    """Let a real `dagster dev` take one hop of each of `count` videos."""
    state, home = context.home("sandbox").settings.home, context.home("dagster")
    with upstream(state, seeds=seeds("kling", count)) as sandbox:
        write_world(home.settings.home, "kling", count, sandbox.base_url)
        began = time.monotonic()
        with dagster_dev(home, _LINGER) as (pid, url):
            _wait_until_reported(home, url, count, seconds=300 + count)
            return Cost(time.monotonic() - began, cpu_of(pid), memory_of(pid))


def _wait_until_reported(home: Home, url: str, count: int, *, seconds: float) -> None:
    """Wait until all hops are stored, and no run goes on any more."""
    ends = time.monotonic() + seconds
    with closing(open_ledger(home.settings.ledger_url)) as ledger:
        while time.monotonic() < ends:
            time.sleep(1)
            with ledger.read() as connection:
                stored = select(func.count()).where(tables.attempts.c.state == "stored")
                if connection.execute(stored).scalar_one() == count and not _unfinished(url):
                    return
    raise ProgramFailedError(f"{count} hops were not stored within {seconds:g} s through Dagster")


def _unfinished(url: str) -> bool:
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": _UNFINISHED}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        return bool(json.load(response)["data"]["runsOrError"]["results"])


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
