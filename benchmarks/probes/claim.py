"""How long a claim of one step holds the write lock, without its commit. Prints the median of `seconds`.

The step is one more hop of a finished video; the transaction is given up, so that the ledger stays as it is.
"""

from __future__ import annotations

import statistics
import time

from sqlalchemy import select

from benchmarks.probes.home import home_ledger, report
from extend_pipeline.config.checks.purchase import purchase_digest
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.spending_rules import BudgetLimits
from extend_pipeline.ledger.write.claims import ClaimRequest, claim

TIMES = 15
LIMITS = BudgetLimits(per_day_micros=10**15, total_micros=10**15, max_in_flight=10_000, exposure_micros=10**15)


class _GivenUp(Exception):
    pass


def main() -> None:
    """Claim TIMES times, each for another video."""
    with home_ledger() as ledger:
        with ledger.read() as connection:
            by_hop = select(tables.attempts).order_by(tables.attempts.c.hop.desc()).limit(TIMES)
            rows = list(connection.execute(by_hop))
        seconds = [_claim(ledger, _next_hop(row)) for row in rows]
    report(seconds=statistics.median(seconds))


def _claim(ledger: Ledger, request: ClaimRequest) -> float:
    now_ms = wall_ms()
    try:
        with ledger.write(now_ms=now_ms, actor="bench") as tx:
            began = time.perf_counter()
            result = claim(tx, [request], caps={request.account: LIMITS}, owner="bench", lease_until=now_ms + 60_000)
            lasted = time.perf_counter() - began
            assert result.claimed
            raise _GivenUp
    except _GivenUp:
        return lasted


def _next_hop(row: object) -> ClaimRequest:
    names = {name: getattr(row, name) for name in ClaimRequest.__dataclass_fields__ if hasattr(row, name)}
    own = {"attempt_id": f"{names['attempt_id']}x", "external_task_id": f"{names['external_task_id']}x"}
    parent = str(row.video_id)  # type: ignore[attr-defined]
    own |= {"chain_digest": f"{names['chain_digest']}x", "hop": names["hop"] + 1, "parent_video_id": parent}
    purchase = purchase_digest(names["provider"], parent, {"prompt": "the fog lifts"})
    return ClaimRequest(**{**names, **own, "purchase": purchase, "last_attempt_id": None, "must_be_declared": True})


if __name__ == "__main__":
    main()
