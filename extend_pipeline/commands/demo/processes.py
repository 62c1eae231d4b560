"""Child processes of `demo` and `dev`: started with a log of their own, awaited by a condition, ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline.base.private import open_private
from extend_pipeline.commands.demo.home_lock import HomeLock
from extend_pipeline.commands.demo.keeper import GRACE_S

TAIL_LINES: Final = 15
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildError(RuntimeError):
    """A child process ended or did not become ready; the message ends with the last lines of its log."""


@dataclass
class Child:
    """A running child process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ChildError where it has ended."""
        if (code := self.process.poll()) is not None:
            raise ChildError(f"{self.name} ended with code {code}. The end of {self.log}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str], lock: HomeLock
) -> Iterator[Child]:
    """Run a command of this virtual environment until the end of the block; its whole process group ends with it, or
    with this process. It holds the home's lock for as long as it runs."""
    with open_private(log, "a") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            umask=0o077,  # Dagster and the sandbox keep prompts, too
            pass_fds=[lock.descriptor],
        )
    try:
        lock.add(name, process.pid)
        yield Child(name, process, log)
    finally:
        with _uninterrupted():  # a second Ctrl-C would leave what is ending to the keeper, which takes a minute
            _end(process)
            lock.remove(name)


def end_children_too() -> None:
    """From now on SIGTERM and a hang-up end this process as Ctrl-C does, children first: they live in sessions of their
    own and would go on alone."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in _ENDINGS:
        signal.signal(number, interrupt)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and its like wait: what happens in the block takes a bounded time."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what its own children left behind


def tool(name: str) -> str:
    """Return a program of the environment that runs us."""
    return str(Path(sys.executable).parent / name)


def answers(url: str) -> bool:
    """Return whether something answers at a local URL."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], *, child: Child, what: str, seconds: float) -> None:
    """Poll a condition until it holds. Raises ChildError when the child ends or the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        child.check()
        if time.monotonic() > deadline:
            raise ChildError(f"{what} was not ready within {seconds:g} s. The end of {child.log}:\n{child.tail()}")
        time.sleep(0.1)
