"""The processes of a storm: workers that advance a home for ever, a publisher, and the sandbox in a process of its own.

They come from the fork server of `support.children`, which has everything imported already: a worker is at work some
tens of milliseconds after its predecessor was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from extend_pipeline.base import failpoints
from extend_pipeline.config.settings import Settings
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle
from extend_pipeline_tests.chaos.processes.transactions import session_of
from extend_pipeline_tests.support.home.engine_home import JumpClock
from extend_pipeline_tests.support.processes.children import CONTEXT
from extend_pipeline_tests.support.processes.unconfined import read_films_here

WORKERS: Final = 6
LEASE_S: Final = 1.6
"""Shorter than the settings allow a user (5 s above the deadline of a POST), so that leases run out many times a minute
while their owners still believe in them."""

PUBLISH_EVERY_S: Final = 0.5
_MAX_S: Final = 3.0  # one `advance_until_idle` of a worker
_SOON_MS: Final = 10_000  # what is due later, the clock is put on for


@dataclass(frozen=True)
class Orders:
    """The arguments of a process: the home's settings, its environment, where to write, when to end."""

    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    output: Path
    ending: Path
    """A worker ends by itself once this file is there."""

    points: str = ""
    number: int = 0
    skipped_ms: int = 0


@dataclass
class Worker:
    """A running process, and what the storm has done to it."""

    process: BaseProcess
    orders: Orders
    born: float
    killed: bool = False
    goes_on_at: float | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, minus nine where it was killed; None while it lives."""
        return self.process.exitcode

    @property
    def is_stopped(self) -> bool:
        """Whether it is held by SIGSTOP."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False where it is too late. The pid is not another's: a fork server reaps only when asked."""
        if self.code is not None:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def start(work: Callable[[Orders], None], orders: Orders, *, now: float) -> Worker:
    """Start a process that does `work`. From one thread only: exit codes can be read once."""
    process = CONTEXT.Process(target=_begin, args=(work, orders), daemon=True)
    process.start()
    return Worker(process, orders, now)


def _begin(work: Callable[[Orders], None], orders: Orders) -> None:
    descriptor = os.open(orders.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.environ.update({**orders.environment, "PGAPPNAME": session_of(os.getpid())})
    read_films_here()  # a worker that lives for two seconds would spend them on starting another process
    failpoints.arm(orders.points)
    work(orders)


def advance_for_ever(orders: Orders) -> None:
    """Advance the home until the file `ending` is there."""
    from extend_pipeline.engine.advance import Round
    from extend_pipeline.engine.drive import advance_until_idle
    from extend_pipeline.engine.home import Pipeline

    pipeline: Pipeline
    with _open(orders) as pipeline:
        stop = threading.Event()

        def look(_now: Round) -> None:
            if orders.ending.exists():
                stop.set()

        while not orders.ending.exists():
            advance_until_idle(pipeline, max_seconds=_MAX_S, on_round=look, stop=stop)
            stop.wait(0.05)


def advance_to_the_end(orders: Orders) -> None:
    """Advance the home until nothing is due soon; the exit code says whether the operator is needed."""
    from extend_pipeline.engine.advance import Round
    from extend_pipeline.engine.drive import advance_until_idle, next_moment_ms
    from extend_pipeline.engine.status import status

    with _open(orders) as pipeline:
        stop = threading.Event()

        def look(now: Round) -> None:
            moment = next_moment_ms(pipeline, now)
            if moment is None or moment - pipeline.now_ms() > _SOON_MS:
                stop.set()

        advance_until_idle(pipeline, max_seconds=60, on_round=look, stop=stop)
        sys.exit(status(pipeline).exit_code)


def publish_for_ever(orders: Orders) -> None:
    """Publish the warehouse whenever the ledger has moved on, until the file `ending` is there."""
    from extend_pipeline.engine.publish import publish_if_changed

    with _open(orders) as pipeline:
        while not orders.ending.exists():
            publish_if_changed(pipeline)
            threading.Event().wait(PUBLISH_EVERY_S)


@contextmanager
def _open(orders: Orders) -> Iterator[Any]:
    from extend_pipeline.engine.home import open_home

    settings = Settings(**orders.settings).model_copy(update={"lease_s": LEASE_S})
    with open_home(settings, now_ms=JumpClock(orders.skipped_ms)) as pipeline:
        # it is the settings of the configuration that the engine reads, and they are as they were given
        assert pipeline.settings.lease_s == LEASE_S
        yield pipeline


@contextmanager
def sandbox_process(state: Path, config: SandboxConfig) -> Iterator[SandboxHandle]:
    """The sandbox in its own process, so that it responds while the storm is busy."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_serve, args=(state, config, there), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(30), "the sandbox did not start within 30 s"
        yield SandboxHandle(here.recv())
    finally:
        here.close()
        process.terminate()
        process.join(10)


def _serve(state: Path, config: SandboxConfig, there: connection.Connection) -> None:
    from extend_pipeline.sandbox.server import serve

    serve(state_dir=state, config=config, on_ready=there.send)
