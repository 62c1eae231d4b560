"""Servers that run beside a measurement, and what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.context import Home
from benchmarks.measure import KEYS, ProgramFailedError
from extend_pipeline_tests.support.servers.ports import free_port

ROOT: Final = Path(__file__).parents[1]


def program(name: str) -> str:
    """Return the path of a program of this Python environment."""
    return str(Path(sys.executable).parent / name)


def dagster_environment(home: Home) -> dict[str, str]:
    """Make a DAGSTER_HOME with the configuration of `deploy/` in a home; return the variables of its programs."""
    folder = home.settings.home / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.yaml").read_text())
    return {**home.environment, "DAGSTER_HOME": str(folder), "PYTHONPATH": str(ROOT)}


@contextmanager
def service(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path,
    ready: str | None = None,
    folder: Path | None = None,
) -> Iterator[int]:
    """Run a server until the end of the block; yield its process id once the address `ready` (if any) responds.
    Raises ProgramFailedError."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **KEYS, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
        )
    try:
        if ready is not None:
            _wait_for(ready, process, log)
        yield process.pid
    finally:
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


@contextmanager
def dagster_dev(
    home: Home, environment: Mapping[str, str], *, module: str = "extend_pipeline.definitions"
) -> Iterator[tuple[int, str]]:
    """Run a real `dagster dev` of a home, with a DAGSTER_HOME in it; yield its process id and its address."""
    port, variables = free_port(), dagster_environment(home) | dict(environment)
    command = [program("dagster"), "dev", "-m", module, "--port", str(port)]
    url, log = f"http://127.0.0.1:{port}", home.settings.home / "dagster.log"
    with service(command, variables, log=log, ready=f"{url}/server_info", folder=home.settings.home) as pid:
        yield pid, url


def graphql(url: str, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the data that a Dagster at an address has for a query. Raises ProgramFailedError."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        reply = json.load(response)
    if reply.get("errors"):
        raise ProgramFailedError(f"Dagster refuses a query: {reply['errors']}")
    return dict(reply["data"])


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process, of those below it, and of those of them that have ended."""
    import psutil

    process, total = psutil.Process(pid), 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_of(pid: int) -> float:
    """Return the memory (MB) that a process and those below it use now, shared pages once for each."""
    import psutil

    process, total = psutil.Process(pid), 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total / 2**20


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    ends = time.monotonic() + seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError), opener.open(url, timeout=5):
            return
        time.sleep(0.2)
    raise ProgramFailedError(f"nothing responds at {url}:\n{log.read_text(errors='replace')[-2000:]}")
