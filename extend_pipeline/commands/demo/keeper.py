"""End process groups once their parent is gone: `python -m extend_pipeline.commands.demo.keeper`.

Stdin is a pipe from the parent, with a line `+GROUP` for each group that it starts and `-GROUP` for each that it has
ended. The pipe ends with the parent, also after `kill -9`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Final

GRACE_S: Final = 20.0  # Dagster's daemon waits for its threads


def left_open(lines: Iterable[str]) -> set[int]:
    """Return the groups that were started and not ended, by the lines of a parent that is gone now."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    return groups


def end_groups(groups: set[int], *, grace_s: float = GRACE_S) -> None:
    """End process groups: ask as Ctrl-C does, then by SIGTERM, then by SIGKILL, with so many seconds for each."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        groups = {group for group in groups if _signal(group, number)}
        deadline = time.monotonic() + grace_s
        while groups and time.monotonic() < deadline:
            time.sleep(0.1)
            groups = {group for group in groups if _signal(group, 0)}


def _signal(group: int, number: int) -> bool:
    """Send a signal to a group; return whether it is there."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # PermissionError: only zombies are left, on macOS
        return False
    return True


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it ends with its parent, and only then
    end_groups(left_open(sys.stdin))
