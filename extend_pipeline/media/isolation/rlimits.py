"""How much a process that looks at bytes from outside may take: set by the process itself, before it sees any of them.

They bound what a film can do to this machine. They are no jail: the process is the same user's, and reads what he may.
"""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

OPEN_FILES: Final = 32  # two films, their ways in and out, and what Python has open


@dataclass(frozen=True, slots=True)
class Bounds:
    """`memory_bytes` is address space on top of what the process has at its start (not on macOS, whose kernel keeps no
    such limit); `file_bytes` the largest file it may write; `cpu_s` the computing of one task, where
    the task does not say, and `life_cpu_s` of all of them, after which another process takes over. After `idle_s`
    without a task the process ends."""

    memory_bytes: int = 1 << 30  # an 8K frame is 50 MB, and a decoder keeps up to 16
    file_bytes: int = 0
    cpu_s: float = 30.0  # reading 2 GB takes two seconds of computing
    life_cpu_s: float = 3_600.0
    idle_s: float = 60.0  # 40 MB are not kept for nothing

    def written(self) -> dict[str, Any]:
        """Return the bounds for JSON."""
        return asdict(self)


def confine(bounds: Bounds) -> None:
    """Bound this process for the rest of its life. Neither it nor what it starts can undo that."""
    for kind, most in (
        (resource.RLIMIT_FSIZE, bounds.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        _lower(kind, most)
    if sys.platform.startswith("linux"):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + bounds.memory_bytes)
    _lower(resource.RLIMIT_CPU, math.ceil(bounds.life_cpu_s * 2))


def allow_cpu(seconds: float) -> None:
    """Allow so much computing from now on; the kernel ends the process by SIGXCPU where it takes a second more."""
    soft = math.ceil(cpu_taken() + seconds)  # whole seconds are what the kernel counts here
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def cpu_taken() -> float:
    """Return the seconds of computing that this process has taken since its start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _lower(kind: int, most: int) -> None:
    """Lower a limit for good; one that is lower already stays."""
    hard = resource.getrlimit(kind)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (limit, limit))
