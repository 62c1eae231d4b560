"""How long a worker waits for its writes while something reads all of the largest home's ledger, on each database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.context import Context, Home
from benchmarks.measure import Cost, ProgramFailedError, probe, run, run_cli
from benchmarks.report import Section, seconds

COLUMNS: Final = ("wall", "memory", "longest write", "writes")
ALONE_S: Final = 5


def measure(context: Context) -> Section:
    """Measure the same on each database."""
    size = max(context.sizes)
    section = Section(f"Writers beside readers at {size * context.hops:,} attempts")
    section.note(
        "The writer takes hops through their states, some 20 small transactions a second; its longest one, from the "
        "wish to the commit, while each command runs."
    )
    for database in context.databases:
        rows = beside_a_writer(context, context.finished_home(size, database=database))
        section.table([database, *COLUMNS], rows)
    return section


def beside_a_writer(context: Context, home: Home) -> list[list[str]]:
    """Return a row of COLUMNS for each command that reads all of a home's ledger."""
    limit_s = 3 * context.limit_s
    run_cli(home.environment, "advance", limit_s=limit_s)
    reading: dict[str, Callable[[], Cost]] = {
        "nothing": lambda: run([sys.executable, "-c", f"import time; time.sleep({ALONE_S})"]),
        "`publish`, the whole, anew": lambda: _publish_anew(home, limit_s),
        "`publish` after 100 changes": lambda: _publish_changes(home, limit_s),
        "`status`": lambda: run_cli(home.environment, "status", limit_s=limit_s),
        "`check_invariants`": lambda: _check_invariants(home, limit_s),
    }
    rows: list[list[str]] = []
    for name, command in reading.items():
        cost, longest, writes = _measured(home, context.folder / "stop", command)
        memory = "–" if cost.cut else f"{cost.memory:.0f} MB"
        rows.append([name, seconds(cost.wall, limit_s=limit_s), memory, seconds(longest), str(writes)])
    return rows


def _publish_anew(home: Home, limit_s: float) -> Cost:
    for file in home.settings.state_dir.glob("warehouse*"):
        file.unlink()
    return run_cli(home.environment, "publish", limit_s=limit_s)


def _publish_changes(home: Home, limit_s: float) -> Cost:
    probe("changes", home.environment, limit_s=limit_s)
    return run_cli(home.environment, "publish", limit_s=limit_s)


def _check_invariants(home: Home, limit_s: float) -> Cost:
    cost, checked = probe("invariants", home.environment, limit_s=limit_s)
    if checked.get("violations"):
        raise ProgramFailedError(f"{checked['violations']} invariants are broken in {home.settings.home}")
    return cost


def _measured(home: Home, stop: Path, command: Callable[[], Cost]) -> tuple[Cost, float, int]:
    """Run a command beside a process that writes to the ledger; return its cost, the longest write (s) and how many."""
    stop.unlink(missing_ok=True)
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
