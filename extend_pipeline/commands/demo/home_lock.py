"""Lock a home for what runs in it until Ctrl-C (`demo`, `dev`, `sandbox`): one at a time, and the next one says which.

The lock is on the home's folder, so that removing the state doesn't release it. Children inherit it: a home whose
`dev` was killed stays locked for as long as a child of it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from extend_pipeline.base.private import make_private_folder, open_private
from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.guards.state_in_use import try_lock

RECORD: Final = "running.json"
"""Name of the file in the state folder that says what runs in the home; it counts only while the home is locked."""


class HomeInUseError(click.ClickException):
    """The home is locked; the message says by what, and how to end it."""


@dataclass
class HomeLock:
    """A lock that this process holds. `descriptor` is passed on to children."""

    descriptor: int
    record: Path
    verb: str
    since_ms: int
    children: dict[str, int] = field(default_factory=dict)
    _keeper: subprocess.Popen[str] | None = None

    def add(self, name: str, group: int) -> None:
        """Note a child, which leads a process group."""
        self.children[name] = group
        self._tell_keeper(f"+{group}")
        self.write()

    def remove(self, name: str) -> None:
        """Forget a child whose whole group has ended."""
        self._tell_keeper(f"-{self.children.pop(name)}")
        self.write()

    def write(self) -> None:
        """Write down what runs, for the next one that wants the home."""
        holder = {"verb": self.verb, "pid": os.getpid(), "since_ms": self.since_ms, "children": self.children}
        make_private_folder(self.record.parent)  # somebody may have removed the state meanwhile
        with open_private(self.record, "w") as file:
            json.dump(holder, file)

    def close(self) -> None:
        """Let go of the home."""
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.close()
            self._keeper.wait()
        self.record.unlink(missing_ok=True)

    def _tell_keeper(self, line: str) -> None:
        """Tell the process that ends our children if we are killed; it is started with the first of them."""
        if self._keeper is None:
            command = [sys.executable, "-m", "extend_pipeline.commands.demo.keeper"]
            # in a session of its own: a Ctrl-C reaches all of ours, and the keeper is there for what comes after that
            self._keeper = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # it may outlive us, and what reads our output waits for nobody else
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert self._keeper.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a keeper that was killed guards nothing, and work goes on
            self._keeper.stdin.write(f"{line}\n")
            self._keeper.stdin.flush()


@contextlib.contextmanager
def lock_home(home: Path, *, state: Path, verb: str, now_ms: int) -> Iterator[HomeLock]:
    """Hold a home until the end of the block. Raises HomeInUseError where another process holds it."""
    make_private_folder(home)
    descriptor = os.open(home, os.O_RDONLY)
    try:
        if not try_lock(descriptor, fcntl.LOCK_EX):
            raise HomeInUseError(describe_holder(home, read_record(state / RECORD)))
        lock = HomeLock(descriptor, state / RECORD, verb, now_ms)
        lock.write()
        try:
            yield lock
        finally:
            lock.close()
    finally:
        os.close(descriptor)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return what the holder of a lock wrote down; None where it has written nothing that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {
            "verb": str(record["verb"]),
            "pid": int(record["pid"]),
            "since_ms": int(record["since_ms"]),
            "children": {str(name): int(pid) for name, pid in record["children"].items()},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def describe_holder(home: Path, record: dict[str, Any] | None) -> str:
    """Return what holds a home, and how to end it."""
    if record is None:
        return f"{home} is in use by another process, which is just starting or ending; try again"
    verb, pid, since = record["verb"], record["pid"], from_ms(record["since_ms"])
    if is_alive(pid):
        told = f"{home} is in use: `{verb}` has run in it since {since:%Y-%m-%d %H:%M:%S} UTC (process {pid})"
        return f"{told}. End it with Ctrl-C where it runs, or: kill {pid}"
    left = {name: child for name, child in record["children"].items() if is_alive(child)}
    names = ", ".join(f"{name} ({child})" for name, child in left.items()) or "a process of it"
    told = f"{home} is in use: `{verb}` (process {pid}) was killed, and what it started is still ending: {names}"
    return f"{told}. Try again in a minute; what is there then: kill {' '.join(map(str, left.values()))}".rstrip(": ")


def is_alive(pid: int) -> bool:
    """Return whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
