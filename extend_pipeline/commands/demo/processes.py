"""Child processes of `demo` and `dev`: each with its own log, and ended together."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from extend_pipeline.base.private import open_private
from extend_pipeline.commands.demo.home_lock import HomeLock
from extend_pipeline.commands.demo.keeper import GRACE_S
from extend_pipeline.commands.shared.interruptible import handled

TAIL_LINES: Final = 15
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildError(click.ClickException):
    """A child process ended or did not become ready; the message ends with the last lines of its log."""


@dataclass
class Child:
    """A running child process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ChildError if the process has ended."""
        if (code := self.process.poll()) is not None:
            raise ChildError(f"{self.name} ended with code {code}. The end of {self.log}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str], lock: HomeLock
) -> Iterator[Child]:
    """Run a command until the end of the block. Its process group ends with the block, or after this process was
    killed. It inherits the home's lock."""
    with open_private(log, "a") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            umask=0o077,  # the files of Dagster and the sandbox hold prompts
            pass_fds=[lock.descriptor],
        )
    try:
        lock.add(name, process.pid)
        yield Child(name, process, log)
    finally:
        # after a second Ctrl-C the keeper would end the child, which takes a minute
        with handled(_ENDINGS, signal.SIG_IGN):
            _end(process)
            lock.remove(name)


def end_children_too() -> None:
    """Make SIGTERM and SIGHUP end this process as Ctrl-C does, children first, because the children run in sessions of
    their own and would go on."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in _ENDINGS:
        signal.signal(number, interrupt)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its own children


def is_up(url: str) -> bool:
    """Return whether a local URL responds with status 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], *, child: Child, what: str, seconds: float) -> None:
    """Poll a condition until it holds. Raises ChildError if the child ends, or after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        child.check()
        if time.monotonic() > deadline:
            raise ChildError(f"{what} was not ready within {seconds:g} s. The end of {child.log}:\n{child.tail()}")
        time.sleep(0.1)
