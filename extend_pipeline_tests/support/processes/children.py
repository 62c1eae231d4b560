"""Real child processes that work on a home, started from a server that has everything imported already.

They can be killed, stopped and continued like any process; what they write to stdout and stderr goes to a file.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from extend_pipeline.base import failpoints
from extend_pipeline_tests.support.home.engine_home import JumpClock
from extend_pipeline_tests.support.processes.unconfined import read_films_here

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "extend_pipeline.cli",
        "extend_pipeline.commands.advance",
        "extend_pipeline.commands.status",
        "extend_pipeline.engine.advance",
        "extend_pipeline.engine.decisions.resolve",
        "extend_pipeline.engine.status",
        "extend_pipeline.providers.http.download",
        "extend_pipeline.providers.registry",
        "extend_pipeline.media.join.film",
        "extend_pipeline.media.frames",
        "extend_pipeline.media.analysis.poster",
        "extend_pipeline.media.check.probe",
        "extend_pipeline.media.analysis.seam",
        "extend_pipeline_tests.support.processes.children",
        "pytest",
        "av",
        "numpy",
        "duckdb",
        "sqlalchemy.dialects.sqlite",
        "sqlalchemy.dialects.postgresql.psycopg",
        "alembic.command",
    ]
)

ALONE = threading.Lock()
"""Starting a process reads the exit codes of others, and an exit code can be read once: two threads must not do it at a
time, or one of them finds 255."""


@dataclass
class Child:
    """A running process."""

    process: BaseProcess
    output: Path

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def wait(self, within: float = 60.0) -> int:
        """Wait for the exit code (-9 if it was killed); kill the process and fail after `within` seconds."""
        in_time = bool(connection.wait([self.process.sentinel], within))
        with ALONE:
            if not in_time:
                self.process.kill()
            self.process.join()
            code = self.process.exitcode
        assert in_time, f"a child did not end within {within:g} s; it printed: {self.output_text}"
        assert code is not None
        return code

    @property
    def is_stopped(self) -> bool:
        """Whether the process is stopped by SIGSTOP."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def go_on(self) -> None:
        """Continue the process after a SIGSTOP."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def output_text(self) -> str:
        """The text that the process wrote to stdout and stderr."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""


def advancing(
    settings: dict[str, Any],
    output: Path,
    *,
    points: str = "",
    skipped_ms: int = 0,
    max_seconds: float = 30,
    confined: bool = True,
    together: Barrier | None = None,
    once: bool = False,
    owner: str = "",
) -> Child:
    """Start a process that advances a home until it is idle, with failpoints armed as `points` says. One that is not
    `confined` reads films in its own process. `together` makes several begin at once, when all have the home open. With
    `once` it runs one round, so that one that is stopped holds no lock of the ledger in another lane. Under another
    `owner` than its own it seems to be a process of another host, whose end no other process can see."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("ENGINE_TEST", "EXTEND_"))}
    arguments = (
        settings,
        str(output),
        environment | {failpoints.ENVIRONMENT: points},
        skipped_ms,
        max_seconds,
        confined,
        together,
        once,
        owner,
    )
    process = CONTEXT.Process(target=_advance, args=arguments, daemon=True)
    with ALONE:
        process.start()
    return Child(process, output)


def _advance(
    settings: dict[str, Any],
    output: str,
    environment: dict[str, str],
    skipped_ms: int,
    max_seconds: float,
    confined: bool,
    together: Barrier | None,
    once: bool,
    owner: str,
) -> None:
    from extend_pipeline.config.settings import Settings
    from extend_pipeline.engine.advance import advance
    from extend_pipeline.engine.drive import advance_until_idle
    from extend_pipeline.engine.home import open_home
    from extend_pipeline.engine.status import status

    write_to(output)
    os.environ.update(environment)
    failpoints.arm_from_environment()
    os.environ.pop(failpoints.ENVIRONMENT)
    if not confined:
        read_films_here()
    with open_home(Settings(**settings), now_ms=JumpClock(skipped_ms)) as pipeline:
        pipeline.owner = owner or pipeline.owner
        if together is not None:
            together.wait(30)
        if once:
            advance(pipeline)
        else:
            advance_until_idle(pipeline, max_seconds=max_seconds)
        sys.exit(status(pipeline).exit_code)


def write_to(output: str) -> None:
    """Send what this process writes from now on, on stdout and stderr, to the end of a file."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
