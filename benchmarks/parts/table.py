"""What grows with the number of finished videos, and what must not."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.context import Context, Home
from benchmarks.measure import median, probe, run_cli
from benchmarks.report import Section, ratio, seconds


@dataclass
class Measured:
    """One number of one size: seconds, and the process's peak memory (MB) where it is the row's own."""

    seconds: float
    memory: float | None = None


Rows = dict[str, Measured]


def measure(context: Context) -> Section:
    """Measure every row for every size, smallest first."""
    section = Section(f"Finished videos of {context.hops} hops ({context.database})")
    columns = {size: _rows(context, context.finished_home(size)) for size in context.sizes}
    names = list(columns[context.sizes[0]])
    last = context.sizes[-2:]
    growth = f"growth {last[0]:,} → {last[-1]:,}"
    table = []
    for name in names:
        limit_s = context.limit_s * (3 if name.endswith("the first") else 1)
        cells = [_cell(columns[size].get(name), limit_s) for size in context.sizes]
        pair = [columns[size].get(name) for size in last]
        factor = "–"
        if len(last) == 2 and all(pair) and max(each.seconds for each in pair if each) < limit_s:
            factor = ratio(pair[1].seconds, pair[0].seconds)  # type: ignore[union-attr]
        table.append([name, *cells, factor])
    section.table(["", *(f"{size:,} videos" for size in context.sizes), growth], table)
    small = context.finished_home(1)
    run_cli(small.environment, "publish")
    rows = []
    for verb in (["status"], ["sql", "SELECT 1"]):
        best = min((run_cli(small.environment, *verb) for _ in range(3)), key=lambda cost: cost.wall)
        rows.append([f"`{verb[0]}`", seconds(best.wall), seconds(best.cpu), f"{best.memory:.0f} MB"])
    section.note("The start of a command in a home of one video, the best of three:")
    section.table(["", "wall", "CPU", "memory"], rows)
    return section


def _rows(context: Context, home: Home) -> Rows:
    limit_s, rows = context.limit_s, Rows()

    def whole(name: str, *arguments: str, times: int = 1) -> None:
        cost = run_cli(home.environment, *arguments, limit_s=times * limit_s)
        rows[name] = Measured(cost.wall, cost.memory)

    # reads the catalogue, compares the store, publishes the whole
    whole("`advance`, the first", "advance", times=3)
    whole("`advance` with nothing to do", "advance")
    whole("`status`", "status")
    whole("`plan`", "plan")
    cost, ticks = probe("sensors", home.environment, limit_s=2 * limit_s)
    for name, lasted in ticks.items():
        rows[f"`{name}`"] = Measured(lasted)
    cost, reported = probe("recorder", home.environment, limit_s=limit_s)
    rows["first report of a restarted Dagster, nothing new"] = Measured(reported.get("seconds", cost.wall))
    cost, claimed = probe("claim", home.environment, limit_s=limit_s)
    rows["one claim, under the write lock"] = Measured(claimed.get("seconds", cost.wall))
    publishes = []
    for _ in range(context.runs):  # copies half a gigabyte, at the speed that the disk and its cache have just then
        probe("changes", home.environment, limit_s=limit_s)
        publishes.append(run_cli(home.environment, "publish", limit_s=limit_s))
    cost = median(publishes)
    rows["`publish` after 100 changes"] = Measured(cost.wall, cost.memory)
    cost, checked = probe("invariants", home.environment, limit_s=limit_s)
    rows["`check_invariants`"] = Measured(checked.get("seconds", cost.wall), cost.memory)
    return rows


def _cell(measured: Measured | None, limit_s: float) -> str:
    if measured is None:
        return "–"
    memory = "" if measured.memory is None else f", {measured.memory:.0f} MB"
    return seconds(measured.seconds, limit_s=limit_s) + memory
