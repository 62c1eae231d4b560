"""A process that takes hops through all their states as a worker does, one small transaction after another, until a
file appears. Prints how many `writes` there were and the `longest` (s), from the wish to the commit.

`python -m benchmarks.probes.writer FILE`
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.probes.claim import LIMITS
from benchmarks.probes.home import home_ledger, report
from benchmarks.probes.hops import ACCOUNT, request_of
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger.database import Ledger
from extend_pipeline_tests.support.ledger import steps

GAP_S = 0.05


def main() -> None:
    """Write, and keep the longest time."""
    ends, lasted = Path(sys.argv[1]), list[float]()
    with home_ledger() as ledger:
        for number in itertools.count():
            for write in _hop(ledger, f"writer-{os.getpid()}-{number}"):
                began = time.perf_counter()
                write()
                lasted.append(time.perf_counter() - began)
                time.sleep(GAP_S)
            if ends.exists():
                break
    report(longest=max(lasted), writes=len(lasted))


def _hop(ledger: Ledger, key: str) -> list[Callable[[], object]]:
    """Return the transactions of one hop."""
    request = request_of(key)
    attempt = request.attempt_id
    return [
        lambda: steps.claim(ledger, request, now_ms=wall_ms(), caps={ACCOUNT: LIMITS}),
        lambda: steps.send(ledger, attempt, now_ms=wall_ms()),
        lambda: steps.submit(ledger, attempt, f"task-{key}", now_ms=wall_ms()),
        lambda: steps.succeed(ledger, attempt, now_ms=wall_ms()),
        lambda: steps.store(ledger, attempt, now_ms=wall_ms()),
    ]


if __name__ == "__main__":
    main()
