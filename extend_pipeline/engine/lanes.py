"""Run jobs side by side, each in the lane of an account and a stage, so that no account waits for another one, and no
stage for a slower one. How many run at a time is bounded by the lanes and not by the videos."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Self

MAX_THREADS: Final = 1_000  # never reached: lanes bound the jobs
CHECK_S: Final = 0.25  # between two looks at whether the operator stops the work


class Stage(Enum):
    """What a job does."""

    LOOK_UP = auto()
    POLL = auto()
    FETCH = auto()
    PREPARE = auto()
    SUBMIT = auto()
    EXAMINE = auto()
    PUBLISH = auto()


class Lane(NamedTuple):
    """The jobs of one stage for one account; without an account, for the whole home."""

    stage: Stage
    account: str = ""


class Stop(threading.Event):
    """Set by the operator's event, by an error in a lane, or from `ends_s` on (monotonic clock): what is under way is
    finished, and nothing new begins."""

    def __init__(self, outer: threading.Event, ends_s: float | None = None) -> None:
        super().__init__()
        self._outer, self._ends_s = outer, ends_s

    def is_set(self) -> bool:
        """Return whether no new job begins."""
        is_over = self._ends_s is not None and time.monotonic() >= self._ends_s
        return is_over or super().is_set() or self._outer.is_set()


class Lanes:
    """The running jobs. Used by one thread, which starts them and takes their reports; the block ends when they have
    ended."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self._pool = ThreadPoolExecutor(MAX_THREADS, "lane")
        self._jobs: dict[Future[Any], tuple[Lane, float]] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop.set()
        self._pool.shutdown()

    def start(self, lane: Lane, job: Callable[[], Any]) -> None:
        """Start a job. Its report is what it returns."""
        future = self._pool.submit(job)
        self._jobs[future] = lane, time.monotonic()
        future.add_done_callback(lambda _: self._ended.set())

    def running(self, lane: Lane, *, longer_than_s: float = 0.0) -> int:
        """Return how many jobs of a lane run (for at least so long), or have ended and their reports are not taken."""
        since = time.monotonic() - longer_than_s
        return sum(each == lane and began <= since for each, began in self._jobs.values())

    @property
    def is_busy(self) -> bool:
        """Return whether a job runs, or has ended and its report is not taken."""
        return bool(self._jobs)

    def wait(self, seconds: float) -> None:
        """Wait until a job has ended or the work is stopped, at most so long."""
        while seconds > 0 and not self.stop.is_set() and not self._ended.wait(min(seconds, CHECK_S)):
            seconds -= CHECK_S

    def reports(self, *, of_all: bool = False) -> Iterator[tuple[Lane, Any]]:
        """Yield the report of each job that has ended; with `of_all`, stop the work and wait for all jobs first. After
        an error nothing new begins, and it is raised when all jobs have ended, since some may have sent what must be
        recorded."""
        if of_all:
            self.stop.set()
            self._pool.shutdown()
            self._pool = ThreadPoolExecutor(MAX_THREADS, "lane")
        self._ended.clear()
        error: BaseException | None = None
        while ended := [future for future in self._jobs if future.done()]:
            for future in ended:
                lane, _ = self._jobs.pop(future)
                if (failure := future.exception()) is None:
                    yield lane, future.result()
                elif error is None:
                    error = failure
                    self.stop.set()
                    self._pool.shutdown()
        if error is not None:
            raise error


def add(report: Any, part: Any) -> None:
    """Add a part to a report of the same type: lists and numbers grow, and of anything else the first value stays."""
    for field in fields(report):
        value, more = getattr(report, field.name), getattr(part, field.name)
        if isinstance(value, list):
            value.extend(more)
        elif isinstance(value, int):
            setattr(report, field.name, value + more)
        elif value is None:
            setattr(report, field.name, more)
