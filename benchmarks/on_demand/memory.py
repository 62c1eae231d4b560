"""The peak memory of servers and of the processes below them, by what they are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.measure import ProgramFailedError

if TYPE_CHECKING:
    import psutil

LOOK_S: Final = 1.0

_KINDS: Final = (  # by what stands in their command lines; the first counts
    ("dagster_webserver", "webserver"),
    ("dagster._daemon", "daemon"),
    ("grpc", "code server of the {server}"),
    ("code-server", "keeper of the code server"),
    ("isolation.worker", "a worker that looks at films"),
    ("resource_tracker", "multiprocessing"),
)


class Memory:
    """The peak memory (MB) of servers and of the processes below them, by what they are; the kernel keeps each's."""

    def __init__(self, servers: Mapping[str, int]) -> None:
        self._servers = servers
        self.peaks: dict[str, float] = {}

    def watch_until(self, condition: Callable[[], bool], *, limit_s: float) -> None:
        """Look each second until a condition holds. Raises ProgramFailedError after `limit_s`."""
        ends = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > ends:
                raise ProgramFailedError(f"Dagster has not come so far within {limit_s:g} s")
            self._look()
            time.sleep(LOOK_S)
        self._look()

    def rows(self) -> list[list[str]]:
        """Return a row of a table for each kind of process: its name, and the peak of one of them."""
        return [[name, f"{peak:.0f}"] for name, peak in self.peaks.items()]

    def _look(self) -> None:
        import psutil

        for name, pid in self._servers.items():
            server = psutil.Process(pid)
            for process in (server, *server.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, OSError):
                    kind = name if process.pid == pid else _kind(process, name)
                    self.peaks[kind] = max(self.peaks.get(kind, 0), _peak(process.pid))


def _kind(process: psutil.Process, server: str) -> str:
    command = " ".join(process.cmdline())
    return next((kind.format(server=server) for part, kind in _KINDS if part in command), "a run")


def _peak(pid: int) -> float:
    """Return the peak memory (MB) of a process; 0 once it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
