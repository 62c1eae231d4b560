"""The crew of a storm: processes that are killed, stopped and continued, and replaced at once when they end."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Final

from extend_pipeline_tests.chaos.holders import Holds, holds_a_lock
from extend_pipeline_tests.chaos.weather import Weather
from extend_pipeline_tests.chaos.workers import CREW, LEASE_S, Orders, Worker, start

MAX_HELD: Final = 3  # at a time; the others go on
OLD_ENOUGH_S: Final = 0.25  # who is younger is still opening the home, and a kill there proves little
WITH_THE_LEDGER_S: Final = 0.05
"""Who is stopped in a transaction holds the ledger and everybody waits, from which there is not more to be learnt in
two seconds than in this time."""

PAST_THE_LEASE: Final = "stopped past the lease"
"""Counts processes that were stopped for longer than their lease."""

_TICK_S: Final = 0.01


@dataclass
class Tally:
    """What a storm did."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """What processes said that ended by themselves, other than by an armed failpoint."""

    @property
    def kills(self) -> int:
        """Processes that were killed, at random moments and at failpoints."""
        return self.counts["killed"] + self.counts["killed at a failpoint"]

    @property
    def stops(self) -> int:
        """Times that a process was stopped."""
        return self.counts["stopped"] + self.counts["stopped at a failpoint"]


@dataclass
class Crew:
    """The processes of a storm, each replaced at once when it ends."""

    weather: Weather
    work: Sequence[Callable[[Orders], None]]
    """What each does, the publisher last."""

    orders: Orders
    armed: bool
    holds: Holds
    tally: Tally = field(default_factory=Tally)
    workers: list[Worker] = field(default_factory=list)

    def man(self) -> None:
        """Start everybody."""
        self.workers = [self._start(number) for number in range(len(self.work))]

    def tend(self) -> None:
        """Replace who has ended, and let go on whose time has come."""
        connection.wait([worker.process.sentinel for worker in self.workers], _TICK_S)
        now = time.monotonic()
        for number, worker in enumerate(self.workers):
            if worker.code is not None:
                self._tally_end(worker)
                self.workers[number] = self._start(number)
            elif worker.goes_on_at is None and "=pause" in worker.orders.points and worker.is_stopped:
                self.tally.counts["stopped at a failpoint"] += 1
                self.tally.points[worker.orders.points.partition("=")[0]] += 1
                self._hold(worker, max(self.weather.stop_s(), LEASE_S + 0.1))
            elif worker.goes_on_at is not None and worker.goes_on_at <= now:
                worker.goes_on_at = None
                worker.send(signal.SIGCONT)

    def kill_one(self) -> None:
        """Kill somebody who is at work."""
        if (worker := self._victim()) is not None and worker.send(signal.SIGKILL):
            worker.killed = True
            self.tally.counts["killed"] += 1

    def stop_one(self) -> None:
        """Stop somebody who is at work, unless enough are held already."""
        held = sum(worker.goes_on_at is not None for worker in self.workers)
        worker = self._victim()
        if held < MAX_HELD and worker is not None and worker.send(signal.SIGSTOP):
            self.tally.counts["stopped"] += 1
            seconds = self.weather.stop_s()
            if self.holds(worker.pid):
                seconds = min(seconds, WITH_THE_LEDGER_S)
                self.tally.counts["stopped in a transaction"] += 1
            self._hold(worker, seconds)

    def let_go_on(self) -> None:
        """Let everybody go on who is held."""
        for worker in self.workers:
            worker.goes_on_at = None
            worker.send(signal.SIGCONT)

    def calm_down(self, within: float = 40.0) -> None:
        """Let everybody go on and end by themselves."""
        self.orders.ending.touch()
        deadline = time.monotonic() + within
        while any(worker.code is None for worker in self.workers):
            self.let_go_on()  # again and again: an armed failpoint may stop one even now
            connection.wait([worker.process.sentinel for worker in self.workers if worker.code is None], 0.05)
            assert time.monotonic() < deadline, (
                f"a worker did not end: {[w.orders for w in self.workers if w.code is None]}"
            )
        for worker in self.workers:
            self._tally_end(worker)

    def leave_none(self) -> None:
        """Kill whoever is left."""
        for worker in self.workers:
            worker.send(signal.SIGKILL)
            worker.process.join(10)

    def _start(self, number: int) -> Worker:
        publisher = number >= CREW
        points = self.weather.points(publisher=publisher) if self.armed else ""
        given = self.orders
        orders = Orders(given.settings, given.environment, given.output, given.ending, points, number)
        return start(self.work[number], orders, now=time.monotonic())

    def _victim(self) -> Worker | None:
        now = time.monotonic()
        at_work = [w for w in self.workers if w.code is None and not w.goes_on_at and now - w.born > OLD_ENOUGH_S]
        return self.weather.random.choice(at_work) if at_work else None

    def _hold(self, worker: Worker, seconds: float) -> None:
        worker.goes_on_at = time.monotonic() + seconds
        if seconds > LEASE_S:
            self.tally.counts[PAST_THE_LEASE] += 1

    def _tally_end(self, worker: Worker) -> None:
        point, _, action = worker.orders.points.partition("=")
        if worker.code == -signal.SIGKILL:
            if not worker.killed:
                self.tally.counts["killed at a failpoint"] += 1
                self.tally.points[point] += 1
        elif worker.code == 0:
            self.tally.counts["ended"] += 1
        elif action.startswith("raise"):
            self.tally.counts["raised at a failpoint"] += 1
            self.tally.points[point] += 1
        else:
            self.tally.broken.append(f"worker {worker.orders.number} ended with {worker.code}")


@contextmanager
def crew(
    weather: Weather,
    work: Sequence[Callable[[Orders], None]],
    orders: Orders,
    *,
    armed: bool,
    holds: Holds = holds_a_lock,
) -> Iterator[Crew]:
    """A crew at work; nobody of it is left afterwards."""
    made = Crew(weather, work, orders, armed, holds)
    made.man()
    try:
        yield made
    finally:
        made.leave_none()


def tail(path: Path, size: int = 3000) -> str:
    """The end of what the processes said."""
    return path.read_text(encoding="utf-8", errors="replace")[-size:] if path.exists() else ""
