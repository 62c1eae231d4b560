"""How long the check of every invariant takes. Prints `seconds` and the number of `violations`."""

from __future__ import annotations

from benchmarks.probes.home import Stopwatch, home_ledger, report
from extend_pipeline.ledger.projection.invariants import check_invariants


def main() -> None:
    """Check the home's ledger."""
    watch = Stopwatch()
    with home_ledger() as ledger, watch.time("seconds"):
        violations = check_invariants(ledger)
    report(**watch.seconds, violations=len(violations))


if __name__ == "__main__":
    main()
