"""A process that writes a row to the ledger 20 times a second until a file appears. Prints how many `writes` there were
and the `longest` (s).

`python -m benchmarks.probes.writer FILE`
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.probes.home import home_ledger, report
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger.write import controls

GAP_S = 0.05


def main() -> None:
    """Write, and keep the longest time from the wish to the commit."""
    ends, longest, writes = Path(sys.argv[1]), 0.0, 0
    with home_ledger() as ledger:
        while not ends.exists():
            began = time.perf_counter()
            with ledger.write(now_ms=wall_ms(), actor="bench") as tx:
                controls.back_off(tx, "bench-writer", wait_ms=1, note="bench")
            longest, writes = max(longest, time.perf_counter() - began), writes + 1
            time.sleep(GAP_S)
    report(longest=longest, writes=writes)


if __name__ == "__main__":
    main()
