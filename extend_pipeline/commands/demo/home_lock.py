"""Lock a home for the verb that runs in it until Ctrl-C (`demo`, `dev`, `sandbox`), one at a time.

The lock is on the home's folder, so that removing the state doesn't release it. Child processes inherit it: a home
whose `dev` was killed stays locked until its last child has ended.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from extend_pipeline.base.private import make_private_folder, open_private
from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.guards.state_in_use import try_lock

RECORD: Final = "running.json"
"""Name of the file in the state folder that records what runs in the home. It counts only while the home is locked."""


class HomeInUseError(click.ClickException):
    """The home is locked; the message names the process, and how to end it."""


@dataclass
class HomeLock:
    """A lock that this process holds. Children inherit `descriptor`."""

    descriptor: int
    record: Path
    verb: str
    since_ms: int
    children: dict[str, int] = field(default_factory=dict)
    _keeper: subprocess.Popen[str] | None = None

    def add(self, name: str, group: int) -> None:
        """Record a child, which leads a process group."""
        self.children[name] = group
        self._tell_keeper(f"+{group}")
        self.write()

    def remove(self, name: str) -> None:
        """Remove a child whose process group has ended."""
        self._tell_keeper(f"-{self.children.pop(name)}")
        self.write()

    def write(self) -> None:
        """Write the record, for the next process that tries to lock the home."""
        record = {"verb": self.verb, "pid": os.getpid(), "since_ms": self.since_ms, "children": self.children}
        make_private_folder(self.record.parent)  # the operator may have removed the state
        with open_private(self.record, "w") as file:
            json.dump(record, file)

    def close(self) -> None:
        """End the keeper and remove the record."""
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.close()
            self._keeper.wait()
        self.record.unlink(missing_ok=True)

    def _tell_keeper(self, line: str) -> None:
        """Send a line to the keeper, which ends the children if this process is killed. Starts it for the first one."""
        if self._keeper is None:
            command = [sys.executable, "-P", "-m", "extend_pipeline.commands.demo.keeper"]
            # in a session of its own, because Ctrl-C reaches all processes of this session
            self._keeper = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # it may outlive this process, and would keep a pipe of our output open
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert self._keeper.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the work goes on if the keeper was killed
            self._keeper.stdin.write(f"{line}\n")
            self._keeper.stdin.flush()


@contextlib.contextmanager
def lock_home(home: Path, *, state: Path, verb: str, now_ms: int) -> Iterator[HomeLock]:
    """Lock a home until the end of the block. Raises HomeInUseError if another process holds the lock."""
    make_private_folder(home)
    descriptor = os.open(home, os.O_RDONLY)
    try:
        if not try_lock(descriptor, fcntl.LOCK_EX):
            raise HomeInUseError(describe_holder(home, read_record(state / RECORD)))
        lock = HomeLock(descriptor, state / RECORD, verb, now_ms)
        lock.write()
        with closing(lock):
            yield lock
    finally:
        os.close(descriptor)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of the lock's holder; None if it is missing or invalid."""
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
    """Return a message that names the process that holds a home, and how to end it."""
    if record is None:
        return f"{home} is in use by another process, which is just starting or ending; try again"
    verb, pid, since = record["verb"], record["pid"], from_ms(record["since_ms"])
    if is_alive(pid):
        message = f"{home} is in use: `{verb}` has run in it since {since:%Y-%m-%d %H:%M:%S} UTC (process {pid})"
        return f"{message}. End it with Ctrl-C where it runs, or: kill {pid}"
    alive = {name: child for name, child in record["children"].items() if is_alive(child)}
    names = ", ".join(f"{name} ({child})" for name, child in alive.items()) or "a child process"
    message = f"{home} is in use: `{verb}` (process {pid}) was killed, and its children are still ending: {names}"
    if not alive:
        return f"{message}. Try again in a minute"
    return f"{message}. Try again in a minute; end those that are left then: kill {' '.join(map(str, alive.values()))}"


def is_alive(pid: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
