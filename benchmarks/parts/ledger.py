"""Several processes at one ledger, without a network: hops a second, CPU, and how fair the turns are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from typing import Any, Final

from benchmarks.context import Context, Home
from benchmarks.measure import ProgramFailedError
from benchmarks.report import Section
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants

PROCESSES: Final = (1, 4, 8)
SECONDS: Final = 10.0


def measure(context: Context) -> Section:
    """Measure each database with each number of processes."""
    lasts = max(2.0, SECONDS * min(1.0, context.scale))
    section = Section("Processes at one ledger")
    section.note(
        f"{lasts:g} s each, without network and films. Spread: hops of the slowest and of the fastest process, and "
        "their ratio."
    )
    rows = []
    for database in context.databases:
        for count in PROCESSES:
            results = _together(context.home("ledger", database=database), count, lasts)
            hops = sorted(result["hops"] for result in results)
            cpu = sum(result["cpu"] for result in results) / max(1, sum(hops))
            spread = f"{hops[0]} – {hops[-1]}, {hops[0] / max(1, hops[-1]):.2f}"
            rows.append([database, str(count), f"{sum(hops) / lasts:.0f}", f"{cpu * 1000:.1f} ms", spread])
    section.table(["", "processes", "hops/s", "CPU a hop", "spread"], rows)
    return section


def _together(home: Home, count: int, seconds: float) -> list[dict[str, Any]]:
    """Run the processes at once; return what each has done. Raises ProgramFailedError where the ledger is not whole."""
    with closing(open_ledger(home.settings.ledger_url)) as ledger:
        environment = {**os.environ, **home.environment}
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.probes.hops", str(number), str(seconds)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            raise ProgramFailedError(
                f"a process of {count} at {ledger.dialect} has failed:\n{''.join(outputs)[-2000:]}"
            )
        if violations := check_invariants(ledger):
            raise ProgramFailedError("\n".join(violations[:10]))
    return [json.loads(output.splitlines()[-1]) for output in outputs]
