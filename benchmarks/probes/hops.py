"""One of several processes at one ledger: takes hops through all their states, as fast as it can, for some seconds.

`python -m benchmarks.probes.hops NUMBER SECONDS`. Begins at a line of input, so that all begin together, and prints
`hops` and `cpu` (s). Commits as the engine does: one for the claims of a wave, one for its marks, one for a few
outcomes, one for a page of polls, one for each film.
"""

from __future__ import annotations

import hashlib
import sys
import time

from benchmarks.probes.claim import LIMITS
from benchmarks.probes.home import home_ledger, report
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.claims import ClaimRequest, claim
from extend_pipeline_tests.support.ledger import steps

WAVE = 10
OUTCOMES = 5
ACCOUNT = "bench"
LEASE_MS = 180_000


def main() -> None:
    """Work until the seconds are over, then report."""
    number, seconds = int(sys.argv[1]), float(sys.argv[2])
    owner, hops = f"bench-{number}", 0
    with home_ledger() as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        ends, cpu = time.monotonic() + seconds, time.process_time()
        while time.monotonic() < ends:
            _wave(ledger, owner, hops)
            hops += WAVE
        report(hops=hops, cpu=time.process_time() - cpu)


def _wave(ledger: Ledger, owner: str, first: int) -> None:
    requests = [request_of(f"{owner}-{number}") for number in range(first, first + WAVE)]
    ids = [request.attempt_id for request in requests]
    now_ms = wall_ms()
    with ledger.write(now_ms=now_ms, actor=owner) as tx:
        result = claim(tx, requests, caps={ACCOUNT: LIMITS}, owner=owner, lease_until=now_ms + LEASE_MS)
        assert len(result.claimed) == WAVE
    with ledger.write(now_ms=wall_ms(), actor=owner) as tx:
        for key in ids:
            transitions.mark_sending(tx, key, owner=owner, lease_until=now_ms + LEASE_MS)
    for start in range(0, WAVE, OUTCOMES):
        with ledger.write(now_ms=wall_ms(), actor=owner) as tx:
            for key in ids[start : start + OUTCOMES]:
                transitions.submitted(tx, key, task_id=f"task-{key}", found_by="post", due_at=now_ms)
    with ledger.write(now_ms=wall_ms(), actor=owner) as tx:
        for key in ids:
            data = {"video_id": f"video-{key}", "url": f"https://files.bench.test/{key}", "reported_micros": 2_000_000}
            transitions.move(tx, key, to=AttemptState.SUCCEEDED, expect=POLLED, data=data)
            transitions.schedule(tx, key, account=ACCOUNT, due_at=now_ms)
    for key in ids:
        sha256 = hashlib.sha256(key.encode()).hexdigest()
        with ledger.write(now_ms=wall_ms(), actor=owner) as tx:
            file = {"sha256": sha256, "path": f"{sha256[:2]}/{sha256}.mp4", "bytes": 1, "output_kind": "full"}
            transitions.stored(tx, key, data=file)
            transitions.unschedule(tx, key)


def request_of(key: str) -> ClaimRequest:
    """Return the claim of a video's first hop."""
    return steps.request(
        key,
        account=ACCOUNT,
        chain_digest=f"digest-{key}",
        parent_video_id=f"source-{key}",
        purchase=f"purchase-{key}",
    )


if __name__ == "__main__":
    main()
