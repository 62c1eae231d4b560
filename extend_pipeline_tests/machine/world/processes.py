"""Processes of the machine: each a pipeline with an owner's name of its own, that can be stopped, woken and killed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extend_pipeline.base import failpoints
from extend_pipeline.base.failpoints import FailpointError
from extend_pipeline.base.units import from_ms
from extend_pipeline.config.load import load_configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.submit.spool import UnrecordedError
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.machine.world.gates import DEADLINE_S, Gate, GatedLedger, Killed, gate_posts
from extend_pipeline_tests.support.home.engine_home import impatient_provider

Work = Callable[[Pipeline], object]
CRASHES = (FailpointError, UnrecordedError, Killed)


@dataclass
class Process:
    """One process. `looks_dead`: its name is that of a process that has ended."""

    name: str
    pipeline: Pipeline
    gate: Gate
    thread: threading.Thread | None = None
    error: BaseException | None = field(default=None, repr=False)

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still in the middle of its work."""
        return self.thread is not None

    def run(self, work: Work) -> bool:
        """Do something; False where it crashed."""
        assert not self.is_stopped
        try:
            work(self.pipeline)
        except CRASHES as error:
            if isinstance(error, UnrecordedError) and not isinstance(error.__cause__, CRASHES):
                raise
            return False
        return True

    def run_until(self, work: Work, place: str, nth: int) -> bool:
        """Do something and stop before the `nth` transaction or POST; False where it ended without getting there."""
        self.gate.close_at(place, nth)
        ended = threading.Event()

        def body() -> None:
            try:
                self.run_alone(work)
            finally:
                ended.set()
                self.gate.check_again()

        thread = threading.Thread(target=body, name=self.name, daemon=True)
        thread.start()
        if self.gate.stands_still(ended.is_set):
            self.thread = thread
            return True
        thread.join(DEADLINE_S)
        self.gate.open()
        self.raise_error()
        return False

    def run_alone(self, work: Work) -> None:
        """In the thread of a process that may be stopped: what it raises is kept for the caller of `raise_error`."""
        try:
            work(self.pipeline)
        except BaseException as error:  # noqa: BLE001 - raised again by `raise_error`
            self.error = error

    def wake(self, *, dead: bool = False) -> None:
        """Let it finish what it was doing, or die where it stands."""
        assert self.thread is not None
        self.gate.open(dead=dead)
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive(), f"{self.name} does not end"
        self.thread = None
        self.raise_error(dead=dead)

    def raise_error(self, *, dead: bool = False) -> None:
        """Raise what the thread has raised, unless it was killed."""
        error, self.error = self.error, None
        if error is None or (dead and isinstance(error, CRASHES)):
            return
        raise error


def build_process(
    name: str,
    settings: Settings,
    *,
    now_ms: Callable[[], int],
    new_token: Callable[[], str],
    looks_dead: bool = False,
) -> Process:
    """Open a home as a process of its own. One that `looks_dead` has the name of a process of this host that ended."""
    gate = Gate()

    def make(account: Account, *, settings: Settings) -> Any:
        return gate_posts(impatient_provider(account, settings=settings), gate)

    pipeline = Pipeline(
        load_configuration(settings, PROVIDERS, now=from_ms(now_ms())),
        GatedLedger(settings.ledger_url, gate),
        LocalStore(settings.media_dir),
        now_ms=now_ms,
        make_provider=make,
        owner=f"{socket.gethostname()}:{2**22 + int(name[1:])}:1" if looks_dead else name,
        new_token=new_token,
    )
    return Process(name, pipeline, gate)


@contextmanager
def armed(point: str, nth: int) -> Iterator[None]:
    """Have a failpoint raise at its `nth` hit."""
    failpoints.arm(f"{point}=raise@{nth}")
    try:
        yield
    finally:
        failpoints.disarm()


@contextmanager
def no_responses_kept(state: Path) -> Iterator[None]:
    """A crash in which even the file of a response can't be written, which is what SIGKILL does. Responses that were
    kept before stay."""
    folder, aside = state / "answers", state / "answers.aside"
    if folder.is_dir():
        folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        if aside.is_dir():
            aside.rename(folder)
