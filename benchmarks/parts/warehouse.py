"""Publish and views with the most videos of the run, and how long writers wait while something reads everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.context import Context, Home
from benchmarks.measure import Cost, probe, run_cli
from benchmarks.report import Section, seconds


def measure(context: Context) -> Section:
    """Measure on the largest home."""
    size = max(context.sizes)
    home, limit_s = context.finished_home(size), 3 * context.limit_s
    section = Section(f"Publish, views and writers at {size * context.hops:,} attempts ({context.database})")
    run_cli(home.environment, "advance", limit_s=limit_s)
    reading: dict[str, Callable[[], Cost]] = {
        "the whole, anew": lambda: _publish_anew(home, limit_s),
        "after 100 changes": lambda: _publish_changes(home, limit_s),
    }
    reading |= {
        "`status`": lambda: run_cli(home.environment, "status", limit_s=limit_s),
        "`check_invariants`": lambda: probe("invariants", home.environment, limit_s=limit_s)[0],
    }
    rows: list[list[str]] = []
    for name, command in reading.items():
        cost, wait, writes = _beside_a_writer(home, context.folder / f"stop-{len(rows)}", command)
        what = f"publish, {name}" if not name.startswith("`") else name
        memory = "–" if cost.cut else f"{cost.memory:.0f} MB"
        rows.append([what, seconds(cost.wall, limit_s=limit_s), memory, seconds(wait), str(writes)])
    section.table(["beside a writer", "wall", "memory", "longest write", "writes"], rows)
    cost, views = probe("views", home.environment, limit_s=limit_s)
    section.table(
        ["view", "first 100 rows", "all rows"],
        [
            [f"`{name}`", *(seconds(each) if each is not None else "> 20 s" for each in pair)]
            for name, pair in views.items()
        ],
    )
    return section


def _publish_anew(home: Home, limit_s: float) -> Cost:
    for file in home.settings.state_dir.glob("warehouse*"):
        file.unlink()
    return run_cli(home.environment, "publish", limit_s=limit_s)


def _publish_changes(home: Home, limit_s: float) -> Cost:
    probe("changes", home.environment, limit_s=limit_s)
    return run_cli(home.environment, "publish", limit_s=limit_s)


def _beside_a_writer(home: Home, stop: Path, command: Callable[[], Cost]) -> tuple[Cost, float, int]:
    """Run a command beside a process that writes to the ledger; return its cost, the longest write (s) and how many."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.probes.writer", str(stop)],
        env={**os.environ, **home.environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(1.5)  # it has begun to write by then
        cost = command()
    finally:
        stop.touch()
        output = writer.communicate()[0]
    measured = json.loads(output.splitlines()[-1])
    return cost, measured["longest"], measured["writes"]
