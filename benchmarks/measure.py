"""The costs of processes, as the kernel counts them."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.generate.home import ACCESS_ENV, SECRET_ENV
from extend_pipeline.sandbox import SandboxConfig

KEYS: Final[Mapping[str, str]] = {ACCESS_ENV: SandboxConfig().access_key, SECRET_ENV: SandboxConfig().secret_key}
LAUNCH: Final = str(Path(__file__).with_name("launch.py"))
CLI: Final = (sys.executable, "-m", "extend_pipeline.cli")


@dataclass(frozen=True)
class Cost:
    """The cost of one process and of those that it has waited for: wall and CPU seconds; the peak memory (MB) is the
    largest of one process. `output` is what it printed. `cut` says that it was ended at the time limit."""

    wall: float
    cpu: float
    memory: float
    output: str = ""
    cut: bool = False


class ProgramFailedError(RuntimeError):
    """A program of the benchmark ended with an error; the message has the end of its output."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    limit_s: float = 600,
    codes: Iterable[int] = (0,),
    folder: Path | None = None,
) -> Cost:
    """Run a command to its end, or kill it after `limit_s`, and return its cost. Raises ProgramFailedError where its
    exit code is none of `codes`."""
    with tempfile.TemporaryDirectory(prefix="ep-cost-") as name:
        costs, printed = Path(name) / "costs.json", Path(name) / "printed"
        with printed.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", LAUNCH, str(costs), *command],
                env={**os.environ, **KEYS, **(environment or {})},
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,
            )
            try:
                code = process.wait(limit_s)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                return Cost(limit_s, limit_s, 0, cut=True)
        text = printed.read_text(errors="replace")
        if code not in codes:
            raise ProgramFailedError(f"{' '.join(command[:8])} ended with {code}:\n{text[-2000:]}")
        return Cost(**json.loads(costs.read_text()), output=text)


def run_cli(settings: Mapping[str, str], *arguments: str, limit_s: float = 600) -> Cost:
    """Run `extend-pipeline` in a home that environment variables name. Code 1 (something needs a person) is fine."""
    return run([*CLI, *arguments], settings, limit_s=limit_s, codes=(0, 1))


def probe(name: str, settings: Mapping[str, str], *arguments: str, limit_s: float = 600) -> tuple[Cost, dict[str, Any]]:
    """Run a module of `benchmarks.probes` in a process of its own; return its cost, and what it has measured."""
    command = [sys.executable, "-m", f"benchmarks.probes.{name}", *arguments]
    cost = run(command, settings, limit_s=limit_s)
    return cost, {} if cost.cut else json.loads(cost.output.splitlines()[-1])


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each number."""
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall", "cpu", "memory")))
