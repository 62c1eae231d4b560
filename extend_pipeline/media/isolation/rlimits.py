"""The resource limits of a worker, which it sets on itself before it reads bytes from outside.

They limit the load that a film can cause on this machine. They are no sandbox: the worker runs as the same user and can
read the same files.
"""

import math
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OPEN_FILES: Final = 32  # two films, pipes, and files that Python has open


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one worker.

    `memory_bytes`: address space in addition to that at the process's start (not on macOS, whose kernel has no such
    limit). `file_bytes`: the largest file it may write. `cpu_s`: the CPU time of one task, unless the task has its own;
    `life_cpu_s`: that of all tasks, after which the process ends. `idle_s`: seconds without a task until it ends.
    """

    memory_bytes: int = 1 << 30  # an 8K frame is 50 MB, and a decoder keeps up to 16
    file_bytes: int = 0
    cpu_s: float = 30.0  # reading 2 GB takes 2 s
    life_cpu_s: float = 3_600.0
    idle_s: float = 60.0  # an idle worker takes 40 MB


def confine(bounds: Bounds) -> None:
    """Limit this process permanently; neither it nor its child processes can undo that."""
    for kind, limit in (
        (resource.RLIMIT_FSIZE, bounds.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        _lower(kind, limit)
    if sys.platform.startswith("linux"):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + bounds.memory_bytes)
    _lower(resource.RLIMIT_CPU, math.ceil(bounds.life_cpu_s * 2))


def allow_cpu(seconds: float) -> None:
    """Allow this many seconds of CPU time from now on; the kernel ends the process by SIGXCPU after a second more."""
    soft = math.ceil(cpu_taken() + seconds)  # the kernel counts whole seconds here
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def cpu_taken() -> float:
    """Return the seconds of CPU time of this process since its start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _lower(kind: int, limit: int) -> None:
    """Lower a soft and a hard limit permanently; a lower hard limit stays."""
    hard = resource.getrlimit(kind)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, limit))
