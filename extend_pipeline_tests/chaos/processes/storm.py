"""The storm itself: signals to the pool and faults of the upstream, each at its own rate, for so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.chaos.processes.worker_pool import Counters, WorkerPool

KILLS_PER_S: Final = 2.7
STOPS_PER_S: Final = 4.8
FAULTS_PER_S: Final = 5.0
MIN_PER_S: Final = 5.2  # kills and stops: 300 in a minute, and some
MIN_CHARGES_PER_S: Final = 8.5  # 500 in a minute, and some
_LONGEST: Final = 4.0
_STANDSTILL_S: Final = 0.3
_SWEEP_S: Final = 5.0  # orders that nothing has met are forgotten so often, since every request is held against them


def storm(
    pool: WorkerPool, sandbox: SandboxHandle, *, seconds: float, has_done_enough: Callable[[], bool] = lambda: True
) -> None:
    """Let it blow for so many seconds; on a machine that is slow or busy for up to `_LONGEST` times as long, until it
    has done as much as it does in that time elsewhere, and `has_done_enough`."""
    schedule, began = pool.schedule, time.monotonic()
    rates = {"kill": KILLS_PER_S, "stop": STOPS_PER_S, "fault": FAULTS_PER_S}
    due = {what: began + schedule.gap(rate) for what, rate in rates.items()}
    swept, standstill = began, _Standstill(sandbox, began)
    while (now := time.monotonic()) < began + seconds or (
        now < began + seconds * _LONGEST and not (_has_blown(pool, sandbox, seconds) and has_done_enough())
    ):
        pool.tend()
        orders = []
        for what, at in due.items():
            if at > now:
                continue
            due[what] = max(at, now - 1.0) + schedule.gap(rates[what])
            match what:
                case "kill":
                    pool.kill_one()
                case "stop":
                    pool.stop_one()
                case _:
                    orders.append(schedule.fault())
        if orders:
            sandbox.faults(orders)
        if standstill.begins(now):
            pool.let_go_on()
            pool.counters.counts["let go on early"] += 1
        if now - swept > _SWEEP_S:
            swept = now
            sweep_faults(pool.counters, sandbox)
    sweep_faults(pool.counters, sandbox)


def _has_blown(pool: WorkerPool, sandbox: SandboxHandle, seconds: float) -> bool:
    enough = pool.counters.kills + pool.counters.stops >= MIN_PER_S * seconds
    return enough and len(sandbox.charges()["charges"]) >= MIN_CHARGES_PER_S * seconds


@dataclass
class _Standstill:
    """Detect that no request reaches the upstream. A process that is stopped in the middle of a transaction holds the
    ledger, so that no worker can act; two seconds of that show nothing, and the stopped processes are continued."""

    sandbox: SandboxHandle
    since: float
    requests: int = 0
    looked: float = 0.0

    def begins(self, now: float) -> bool:
        """Return whether no request has come for a while; True once for each such while."""
        if now - self.looked < _STANDSTILL_S / 4:
            return False
        self.looked = now
        requests = int(self.sandbox.requests()["total"])
        still = requests == self.requests and now - self.since > _STANDSTILL_S
        if still or requests != self.requests:
            self.requests, self.since = requests, now
        return still


def sweep_faults(counters: Counters, sandbox: SandboxHandle) -> None:
    """Count the faults that have struck, and forget all orders."""
    for order in sandbox.faults():
        counters.faults[f"{order['where']} {order['kind']}"] += int(order["fired"])
    sandbox.clear_faults()
