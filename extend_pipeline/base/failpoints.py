"""Named places where a test may kill, raise or pause the process. In production nothing is armed, and a hit costs one
check of an empty dictionary.

Armed by `EXTEND_PIPELINE_FAILPOINTS="submit.after_post=kill"`, several separated by commas; `name=kill@3` acts at the
third hit. POINTS lists all names, so that a test can run through them.
"""

import os
import signal
import threading
from dataclasses import dataclass
from typing import Final

ENVIRONMENT: Final = "EXTEND_PIPELINE_FAILPOINTS"

POINTS: Final[tuple[str, ...]] = (
    "submit.before_claim",
    "submit.in_claim",
    "submit.after_claim",
    "submit.before_sending",
    "submit.after_sending",
    "submit.after_post",
    "submit.before_outcome",
    "submit.after_outcome",
    "poll.before_query",
    "poll.after_query",
    "settle.before_write",
    "settle.before_commit",
    "settle.after_commit",
    "collect.before_download",
    "collect.mid_download",
    "collect.before_fsync",
    "collect.before_rename",
    "collect.after_rename",
    "collect.before_stored",
    "collect.after_stored",
    "recover.before_lookup",
    "recover.after_lookup",
    "reconcile.before_write",
    "reconcile.after_write",
    "callbacks.before_inbox",
    "callbacks.after_inbox",
    "publish.before_commit",
    "publish.before_rename",
    "publish.after_rename",
    "copy.before_rows",
    "copy.mid_rows",
    "copy.before_verify",
    "copy.before_target_commit",
    "copy.after_target_commit",
    "copy.before_seal_commit",
    "copy.after_seal",
    "copy.after_open",
    "copy.after_memory",
)


class FailpointError(RuntimeError):
    """Raised by a failpoint that is armed with `raise`."""


@dataclass
class _Armed:
    action: str
    at: int
    hits: int = 0


_armed: dict[str, _Armed] = {}
_lock = threading.Lock()


def arm(spec: str) -> None:
    """Arm failpoints from `name=action[@n]`, comma separated. Raises ValueError for an unknown name or action."""
    for part in filter(None, (piece.strip() for piece in spec.split(","))):
        name, _, action = part.partition("=")
        action, _, nth = action.partition("@")
        if name not in POINTS:
            raise ValueError(f"no failpoint is called {name!r}")
        if action not in ("kill", "raise", "pause"):
            raise ValueError(f"failpoint {name}: {action!r} is none of kill, raise, pause")
        _armed[name] = _Armed(action, int(nth or 1))


def arm_from_environment() -> None:
    """Arm the failpoints of the environment variable; called once at the start of a process."""
    if spec := os.environ.get(ENVIRONMENT):
        arm(spec)


def disarm() -> None:
    """Disarm all failpoints."""
    _armed.clear()


def failpoint(name: str) -> None:
    """Kill, pause or raise here if a test armed this name, else do nothing."""
    if not _armed:
        return
    armed = _armed.get(name)
    if armed is None:
        return
    with _lock:
        armed.hits += 1
        due = armed.hits == armed.at
    if not due:
        return
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "pause":
        # to this thread: one that stops another first would go on for some instructions, and could begin to write
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    else:
        raise FailpointError(name)
