"""The worker pool of a storm: processes that are killed, stopped and continued, and replaced at once when they end."""

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

from extend_pipeline_tests.chaos.processes.fault_schedule import FaultSchedule
from extend_pipeline_tests.chaos.processes.transactions import Holds, holds_a_lock
from extend_pipeline_tests.chaos.processes.workers import LEASE_S, WORKERS, Orders, Worker, start

MAX_HELD: Final = 3  # at a time; the others go on
OLD_ENOUGH_S: Final = 0.25  # a younger process is still opening the home, and a kill there proves little
WITH_THE_LEDGER_S: Final = 0.05
"""How long a process is stopped in a transaction: it holds the ledger and all others wait, which shows no more in two
seconds."""

PAST_THE_LEASE: Final = "stopped past the lease"
"""Counts processes that were stopped for longer than their lease."""

_TICK_S: Final = 0.01


@dataclass
class Counters:
    """Count what a storm did."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """Processes that ended other than by a signal or an armed failpoint."""

    @property
    def kills(self) -> int:
        """Processes that were killed, at random moments and at failpoints."""
        return self.counts["killed"] + self.counts["killed at a failpoint"]

    @property
    def stops(self) -> int:
        """Times that a process was stopped."""
        return self.counts["stopped"] + self.counts["stopped at a failpoint"]


@dataclass
class WorkerPool:
    """The processes of a storm, each replaced at once when it ends."""

    schedule: FaultSchedule
    work: Sequence[Callable[[Orders], None]]
    """What each does, the publisher last."""

    orders: Orders
    armed: bool
    holds: Holds
    counters: Counters = field(default_factory=Counters)
    workers: list[Worker] = field(default_factory=list)

    def start_all(self) -> None:
        """Start every process."""
        self.workers = [self._start(number) for number in range(len(self.work))]

    def tend(self) -> None:
        """Replace the processes that have ended, and continue those whose stop is over."""
        connection.wait([worker.process.sentinel for worker in self.workers], _TICK_S)
        now = time.monotonic()
        for number, worker in enumerate(self.workers):
            if worker.code is not None:
                self._count_end(worker)
                self.workers[number] = self._start(number)
            elif worker.goes_on_at is None and "=pause" in worker.orders.points and worker.is_stopped:
                self.counters.counts["stopped at a failpoint"] += 1
                self.counters.points[worker.orders.points.partition("=")[0]] += 1
                self._hold(worker, max(self.schedule.stop_s(), LEASE_S + 0.1))
            elif worker.goes_on_at is not None and worker.goes_on_at <= now:
                worker.goes_on_at = None
                worker.send(signal.SIGCONT)

    def kill_one(self) -> None:
        """Kill a process that is at work."""
        if (worker := self._victim()) is not None and worker.send(signal.SIGKILL):
            worker.killed = True
            self.counters.counts["killed"] += 1

    def stop_one(self) -> None:
        """Stop a process that is at work, unless MAX_HELD are stopped already."""
        held = sum(worker.goes_on_at is not None for worker in self.workers)
        worker = self._victim()
        if held < MAX_HELD and worker is not None and worker.send(signal.SIGSTOP):
            self.counters.counts["stopped"] += 1
            seconds = self.schedule.stop_s()
            if self.holds(worker.pid):
                seconds = min(seconds, WITH_THE_LEDGER_S)
                self.counters.counts["stopped in a transaction"] += 1
            self._hold(worker, seconds)

    def let_go_on(self) -> None:
        """Continue every stopped process."""
        for worker in self.workers:
            worker.goes_on_at = None
            worker.send(signal.SIGCONT)

    def calm_down(self, within: float = 40.0) -> None:
        """Continue every process, and wait up to `within` seconds until all have ended."""
        self.orders.ending.touch()
        deadline = time.monotonic() + within
        while any(worker.code is None for worker in self.workers):
            self.let_go_on()  # again and again: an armed failpoint may stop one even now
            connection.wait([worker.process.sentinel for worker in self.workers if worker.code is None], 0.05)
            assert time.monotonic() < deadline, (
                f"a worker did not end: {[w.orders for w in self.workers if w.code is None]}"
            )
        for worker in self.workers:
            self._count_end(worker)

    def kill_all(self) -> None:
        """Kill the processes that are left."""
        for worker in self.workers:
            worker.send(signal.SIGKILL)
            worker.process.join(10)

    def _start(self, number: int) -> Worker:
        publisher = number >= WORKERS
        points = self.schedule.points(publisher=publisher) if self.armed else ""
        shared = self.orders
        orders = Orders(shared.settings, shared.environment, shared.output, shared.ending, points, number)
        return start(self.work[number], orders, now=time.monotonic())

    def _victim(self) -> Worker | None:
        now = time.monotonic()
        at_work = [w for w in self.workers if w.code is None and not w.goes_on_at and now - w.born > OLD_ENOUGH_S]
        return self.schedule.random.choice(at_work) if at_work else None

    def _hold(self, worker: Worker, seconds: float) -> None:
        worker.goes_on_at = time.monotonic() + seconds
        if seconds > LEASE_S:
            self.counters.counts[PAST_THE_LEASE] += 1

    def _count_end(self, worker: Worker) -> None:
        point, _, action = worker.orders.points.partition("=")
        if worker.code == -signal.SIGKILL:
            if not worker.killed:
                self.counters.counts["killed at a failpoint"] += 1
                self.counters.points[point] += 1
        elif worker.code == 0:
            self.counters.counts["ended"] += 1
        elif action.startswith("raise"):
            self.counters.counts["raised at a failpoint"] += 1
            self.counters.points[point] += 1
        else:
            self.counters.broken.append(f"worker {worker.orders.number} ended with {worker.code}")


@contextmanager
def worker_pool(
    schedule: FaultSchedule,
    work: Sequence[Callable[[Orders], None]],
    orders: Orders,
    *,
    armed: bool,
    holds: Holds = holds_a_lock,
) -> Iterator[WorkerPool]:
    """Yield a pool of running processes; none is left afterwards."""
    made = WorkerPool(schedule, work, orders, armed, holds)
    made.start_all()
    try:
        yield made
    finally:
        made.kill_all()


def tail(path: Path, size: int = 3000) -> str:
    """Return the last `size` characters of what the processes wrote."""
    return path.read_text(encoding="utf-8", errors="replace")[-size:] if path.exists() else ""
