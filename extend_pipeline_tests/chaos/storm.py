"""The storm itself: signals to the crew and faults of the upstream, each at its own rate, for so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.chaos.crew import Crew, Tally

KILLS_PER_S: Final = 2.7
STOPS_PER_S: Final = 4.8
FAULTS_PER_S: Final = 5.0
MIN_PER_S: Final = 5.2  # kills and stops: 300 in a minute, and some
MIN_CHARGES_PER_S: Final = 8.5  # 500 in a minute, and some
_LONGEST: Final = 2.5
_STANDSTILL_S: Final = 0.3
_SWEEP_S: Final = 5.0  # orders that nothing has met are forgotten so often, since every request is held against them


def storm(
    crew: Crew, sandbox: SandboxHandle, *, seconds: float, has_done_enough: Callable[[], bool] = lambda: True
) -> None:
    """Let it blow for so many seconds; on a machine that is slow or busy for up to `_LONGEST` times as long, until it
    has done as much as it does in that time elsewhere, and `has_done_enough`."""
    weather, began = crew.weather, time.monotonic()
    rates = {"kill": KILLS_PER_S, "stop": STOPS_PER_S, "fault": FAULTS_PER_S}
    due = {what: began + weather.gap(rate) for what, rate in rates.items()}
    swept, heard = began, _Heard(sandbox, began)
    while (now := time.monotonic()) < began + seconds or (
        now < began + seconds * _LONGEST and not (_has_blown(crew, sandbox, seconds) and has_done_enough())
    ):
        crew.tend()
        orders = []
        for what, at in due.items():
            if at > now:
                continue
            due[what] = max(at, now - 1.0) + weather.gap(rates[what])
            match what:
                case "kill":
                    crew.kill_one()
                case "stop":
                    crew.stop_one()
                case _:
                    orders.append(weather.fault())
        if orders:
            sandbox.faults(orders)
        if heard.nothing(now):
            crew.let_go_on()
            crew.tally.counts["let go on early"] += 1
        if now - swept > _SWEEP_S:
            swept = now
            sweep_faults(crew.tally, sandbox)
    sweep_faults(crew.tally, sandbox)


def _has_blown(crew: Crew, sandbox: SandboxHandle, seconds: float) -> bool:
    enough = crew.tally.kills + crew.tally.stops >= MIN_PER_S * seconds
    return enough and len(sandbox.charges()["charges"]) >= MIN_CHARGES_PER_S * seconds


@dataclass
class _Heard:
    """Whether the upstream hears anything. Who is stopped in the middle of a transaction holds the ledger, and then
    nobody works: there is nothing to be learnt from that for two seconds, so whoever is held goes on."""

    sandbox: SandboxHandle
    since: float
    requests: int = 0
    looked: float = 0.0

    def nothing(self, now: float) -> bool:
        """Whether no request has come for a while; true once for each such while."""
        if now - self.looked < _STANDSTILL_S / 4:
            return False
        self.looked = now
        requests = int(self.sandbox.requests()["total"])
        still = requests == self.requests and now - self.since > _STANDSTILL_S
        if still or requests != self.requests:
            self.requests, self.since = requests, now
        return still


def sweep_faults(tally: Tally, sandbox: SandboxHandle) -> None:
    """Count the faults that have struck, and forget all orders."""
    for order in sandbox.faults():
        tally.faults[f"{order['where']} {order['kind']}"] += int(order["fired"])
    sandbox.clear_faults()
