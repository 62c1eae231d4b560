"""Several `advance` at once on one home, until every video is complete: hops a second, CPU, turns, memory, charges."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from benchmarks.context import Context, Home
from benchmarks.measure import CLI, Cost, ProgramFailedError, run
from benchmarks.report import Section, ratio
from benchmarks.upstream import upstream
from benchmarks.worlds import seeds, write_world
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.support.harness.charges import attempts_in, charge_book, match_charges, submission_of

VIDEOS: Final = 10_000
HOPS: Final = 3
PROCESSES: Final = 4


@dataclass(frozen=True)
class Fleet:
    """What the processes have done together. `by_process` are the hops that each has stored; `first` and `last` are
    hops a second over the first and the last tenth of all hops, from one film stored to another."""

    hops: int
    costs: Sequence[Cost]
    by_process: Sequence[int]
    first: float
    last: float
    doubles: int
    unknown: int

    def cells(self) -> list[str]:
        """Return the row of the table."""
        shares = [0] * (len(self.costs) - len(self.by_process)) + sorted(self.by_process)
        memory = sorted(cost.memory for cost in self.costs)
        return [
            f"{self.hops / max(cost.wall for cost in self.costs):.1f}",
            f"{sum(cost.cpu for cost in self.costs) / self.hops * 1000:.1f} ms",
            " / ".join(f"{share / self.hops:.0%}" for share in shares),
            f"{memory[0]:.0f} – {memory[-1]:.0f} MB",
            str(self.doubles),
            str(self.unknown),
            f"{self.first:.1f}",
            f"{self.last:.1f}",
            ratio(self.last, self.first),
        ]


def measure(context: Context) -> Section:
    """Measure each database, with a sandbox and a home of its own."""
    videos = max(PROCESSES, context.scaled(VIDEOS))
    section = Section(f"{PROCESSES} × `advance --until-idle` on {videos:,} videos of {HOPS} hops")
    section.note(
        "Small films, looked at as always. CPU is that of the processes and their workers, without the sandbox and the "
        "database's server; memory the peak of one process; shares those of the hops that each has stored. *Double* "
        "are steps that the sandbox has charged twice, *unknown* its charges for tasks that the ledger doesn't know. "
        "First and last: hops a second over the first and the last tenth of the hops."
    )
    columns = ["", "hops/s", "CPU a hop", "shares", "memory", "double", "unknown", "first", "last", "ratio"]
    rows = [[database, *_together(context, database, videos).cells()] for database in context.databases]
    section.table(columns, rows)
    return section


def _together(context: Context, database: str, videos: int) -> Fleet:
    """Run the processes to their end. Raises ProgramFailedError where a hop is missing or the ledger is not whole."""
    home, state = context.home("fleet", database=database), context.home("sandbox").settings.home
    hops = videos * HOPS
    with upstream(state, seeds=seeds("kling", videos)) as sandbox:
        write_world(home.settings.home, "kling", videos, sandbox.base_url, hops=HOPS)
        with ThreadPoolExecutor(PROCESSES) as pool:
            costs = list(pool.map(lambda _: _advance(home, limit_s=300 + hops), range(PROCESSES)))
        with closing(open_ledger(home.settings.ledger_url)) as ledger:
            fleet = _look(ledger, sandbox, hops, costs)
    for folder in (home.settings.home, state):
        shutil.rmtree(folder)
    return fleet


def _advance(home: Home, *, limit_s: float) -> Cost:
    cost = run([*CLI, "advance", "--until-idle"], home.environment, limit_s=limit_s, codes=(0, 1))
    if cost.cut:
        raise ProgramFailedError(f"`advance --until-idle` was not over after {limit_s:g} s")
    return cost


def _look(ledger: Ledger, sandbox: SandboxHandle, hops: int, costs: Sequence[Cost]) -> Fleet:
    if violations := check_invariants(ledger):
        raise ProgramFailedError("\n".join(violations[:10]))
    events, stored = tables.events, tables.events.c.kind == "attempt_stored"
    with ledger.read() as connection:
        by_process = connection.execute(select(func.count()).where(stored).group_by(events.c.actor)).scalars().all()
    times = stored_at(ledger)
    if len(times) != hops:
        raise ProgramFailedError(f"{len(times)} of {hops} hops were stored:\n{costs[0].output[-2000:]}")
    book = charge_book(sandbox)
    matches = match_charges(book.charges, [submission_of(row) for row in attempts_in(ledger)])
    tenth = max(1, hops // 10)
    return Fleet(
        hops=hops,
        costs=costs,
        by_process=by_process,
        first=speed(times[: tenth + 1]),
        last=speed(times[-tenth - 1 :]),
        doubles=sum(double["count"] - 1 for double in book.doubles),
        unknown=len(matches.unmatched),
    )


def stored_at(ledger: Ledger) -> list[int]:
    """Return when each film was stored (UTC ms), in the order of the events."""
    events = tables.events.c
    query = select(events.at).where(events.kind == "attempt_stored").order_by(events.seq)
    with ledger.read() as connection:
        return list(connection.execute(query).scalars())


def speed(times_ms: Sequence[int]) -> float:
    """Return how many followed the first, a second."""
    return (len(times_ms) - 1) * 1000 / max(1, times_ms[-1] - times_ms[0])
