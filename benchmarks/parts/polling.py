"""Polling 10,000 tasks in flight: calls against pages, and CPU against a bare script that reads the same pages."""

from __future__ import annotations

import math
import shutil
import sys
from contextlib import closing
from typing import Any, Final

from benchmarks.bare.poll import PAGE
from benchmarks.context import Context, Home
from benchmarks.generate.build import Wanted, build_home
from benchmarks.generate.home import account_name, write_accounts
from benchmarks.measure import Cost, ProgramFailedError, median, run, run_cli
from benchmarks.report import Section, ratio
from benchmarks.upstream import upstream
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.sandbox import SandboxHandle

TASKS: Final = 10_000
POLL_EVERY_S: Final = 600


def measure(context: Context) -> Section:
    """Poll every task a second time, when none has anything new to tell."""
    count = context.scaled(TASKS)
    pages = math.ceil(count / PAGE)
    home, state = context.home("polling"), context.home("sandbox").settings.home
    wanted = Wanted(videos=count, hops=1, open_videos=count, now_ms=wall_ms(), sandbox=state, runs_for_s=7_200)
    build_home(home.settings, wanted)
    section = Section(f"Polling {count:,} tasks in flight")
    with upstream(state) as sandbox:
        write_accounts(home.settings.home, 1, url=sandbox.base_url, every=POLL_EVERY_S)
        run_cli(home.environment, "advance", limit_s=3 * context.limit_s)  # finds that all are processing
        costs = []
        for _ in range(context.runs):
            idle = _advance(context, home)
            make_all_due(home)
            before = _calls(sandbox)
            ours = _advance(context, home)
            calls = _calls(sandbox) - before
            costs.append((idle, ours, *(_bare(context, sandbox.base_url, number) for number in (0, pages))))
    idle, ours, bare_idle, bare = map(median, zip(*costs, strict=True))
    own, whole = ours.cpu - idle.cpu, bare.cpu - bare_idle.cpu
    ratios = [ratio(calls, pages), ratio(ours.cpu, bare.cpu), ratio(own, whole), ratio(ours.wall, bare.wall)]
    section.table(
        ["", "calls", "CPU", "CPU without its start", "wall", "memory"],
        [
            ["script", str(pages), *_cells(bare, bare_idle)],
            ["advance", str(calls), *_cells(ours, idle)],
            ["ratio", *ratios, ratio(ours.memory, bare.memory)],
        ],
    )
    section.note(
        "Medians of runs in turn. The start of `advance` is a round with the same tasks, of which none is due; the "
        "calls are those of the last run."
    )
    return section


def make_all_due(home: Home) -> None:
    """Make every task of the home's first account due now."""
    with closing(open_ledger(home.settings.ledger_url)) as ledger, ledger.write(now_ms=wall_ms(), actor="bench") as tx:
        job_queue.make_due(tx, account_name(0))


def _advance(context: Context, home: Home) -> Cost:
    cost = run_cli(home.environment, "advance", limit_s=3 * context.limit_s)
    if cost.cut:
        raise ProgramFailedError("a round of polls was not over in time")
    return cost


def _bare(context: Context, url: str, pages: int) -> Cost:
    folder = context.home("bare").settings.home / "work"
    cost = run([sys.executable, "-m", "benchmarks.bare.poll", url, str(pages), str(folder)])
    shutil.rmtree(folder.parent)
    return cost


def _calls(sandbox: SandboxHandle) -> int:
    counts: list[dict[str, Any]] = sandbox.requests()["counts"]
    return sum(row["count"] for row in counts if "/_sandbox" not in row["route"])


def _cells(cost: Cost, idle: Cost) -> list[str]:
    return [f"{cost.cpu:.2f} s", f"{cost.cpu - idle.cpu:.2f} s", f"{cost.wall:.2f} s", f"{cost.memory:.0f} MB"]
