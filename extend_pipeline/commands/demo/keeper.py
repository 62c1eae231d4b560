"""End process groups after their parent has ended: `python -m extend_pipeline.commands.demo.keeper`.

Stdin is a pipe from the parent, with a line `+GROUP` for a group that it has started and `-GROUP` for one that has
ended. The pipe closes when the parent ends, also after `kill -9`.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Final

GRACE_S: Final = 20.0  # Dagster's daemon waits for its threads


def left_open(lines: Iterable[str]) -> set[int]:
    """Return the groups that were started and have not ended, from all lines of the parent."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    return groups


def end_groups(groups: set[int], *, grace_s: float = GRACE_S) -> None:
    """End process groups by SIGINT, then SIGTERM, then SIGKILL, and wait up to `grace_s` seconds after each."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        groups = {group for group in groups if _signal(group, number)}
        deadline = time.monotonic() + grace_s
        while groups and time.monotonic() < deadline:
            time.sleep(0.1)
            groups = {group for group in groups if _signal(group, 0)}


def _signal(group: int, number: int) -> bool:
    """Send a signal to a group; return whether the group exists."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # PermissionError: only zombies are left, on macOS
        return False
    return True


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it may end only after its parent
    end_groups(left_open(sys.stdin))
