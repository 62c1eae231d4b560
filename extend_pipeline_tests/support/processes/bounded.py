"""Run a verb in a process with fewer rights: files that may not grow, no rights of root, another umask. The process
comes from the server that has everything imported already (`children.py`), since loading takes longer than the verb;
how the interpreter itself starts and ends is seen by the walk that kills the command (`test_crash_walk.py`) and
by the tests in `cli/`."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from extend_pipeline_tests.support.home.engine_home import EngineHome
from extend_pipeline_tests.support.processes.children import ALONE, CONTEXT

_WITHIN_S: Final = 120.0
_CAPABILITIES_V3: Final = 0x20080522  # capset(2)


@dataclass(frozen=True)
class _Task:
    """A verb and the limits of its process."""

    arguments: list[str]
    environment: dict[str, str]
    file_bytes: int | None
    plain_user: bool
    umask: int | None


def run_bounded(
    home: EngineHome,
    *arguments: str,
    file_bytes: int | None = None,
    plain_user: bool = False,
    umask: int | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a verb on a home. No file may grow beyond `file_bytes`; a `plain_user` has no rights beyond files' modes."""
    settings = {f"EXTEND_PIPELINE_{name.upper()}": str(value) for name, value in home.options.items()}
    task = _Task(
        arguments=["--home", str(home.path), *arguments],
        environment={**os.environ, **settings, "EXTEND_PIPELINE_LEDGER_URL": home.ledger_url, **(environment or {})},
        file_bytes=file_bytes,
        plain_user=plain_user,
        umask=umask,
    )
    (out, to_out), (err, to_err) = CONTEXT.Pipe(duplex=False), CONTEXT.Pipe(duplex=False)
    with out, err, ThreadPoolExecutor(2) as pool:
        process = CONTEXT.Process(target=_run, args=(task, to_out, to_err), daemon=True)
        with ALONE:
            process.start()
        to_out.close()
        to_err.close()
        outputs = [pool.submit(_read, stream) for stream in (out, err)]
        process.join(_WITHIN_S)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
        stdout, stderr = (output.result() for output in outputs)
    if code is None:
        raise subprocess.TimeoutExpired(task.arguments, _WITHIN_S, stdout, stderr)
    return subprocess.CompletedProcess(task.arguments, code, stdout, stderr)


def _read(stream: Connection) -> str:
    with os.fdopen(os.dup(stream.fileno()), encoding="utf-8") as file:
        return file.read()


def _run(task: _Task, out: Connection, err: Connection) -> None:
    for stream, descriptor in ((out, 1), (err, 2)):
        os.dup2(stream.fileno(), descriptor)
        stream.close()
    # the server's own streams were made for other files
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(task.environment)
    if task.umask is not None:
        os.umask(task.umask)
    if task.plain_user:
        _give_up_rights()
    if task.file_bytes is not None:
        # Python keeps the half of a module's bytecode that the bound lets through, and the next process fails on it
        sys.dont_write_bytecode = True
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (task.file_bytes, task.file_bytes))
    from extend_pipeline.cli import main

    sys.argv = ["extend-pipeline", *task.arguments]
    main()


def _give_up_rights() -> None:
    """Drop all capabilities, so that the modes of files bind root like every user."""
    # capset(2) with nothing in it
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        sys.exit(99)
