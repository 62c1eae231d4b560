"""Where the processes of the matrix come from: a process that has imported, compiled and tried everything once, and
then forks. A forked one is a process like any other: it is killed by a real SIGKILL, stopped by a real SIGSTOP, and
owns its claims under its own process id."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from extend_pipeline_tests.support.processes.children import CONTEXT, write_to

Task = Callable[[Any], None]

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


@dataclass(frozen=True)
class ForkedProcess:
    """A running process of a fork_server."""

    pid: int
    output: Path
    fork_server: ForkServer

    def wait(self, within: float = 60.0) -> int:
        """Its exit code; minus nine where it was killed. It is killed for good where it takes too long."""
        code = self.fork_server.code_of(self.pid, within)
        if code is None:
            self.kill()
            self.fork_server.code_of(self.pid, within)
            raise AssertionError(f"a process did not end within {within:g} s; it said: {self.output_text}")
        return code

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    @property
    def is_stopped(self) -> bool:
        """Whether it is held by SIGSTOP."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def go_on(self) -> None:
        """Let it run again after a SIGSTOP."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def output_text(self) -> str:
        """What the process has written to stdout and stderr."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""


class ForkServer:
    """The forking process, as those who ask it hold it. For one thread."""

    def __init__(self, warm_up: Callable[[], None]) -> None:
        self._here, there = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_serve, args=(there, warm_up), daemon=True)
        self._process.start()
        there.close()
        self._ended: dict[int, int] = {}
        self.cpu_s = 0.0
        """What the processes that have ended took."""

    def start(self, task: Task, argument: Any, output: Path) -> ForkedProcess:
        """Fork a process that calls `task(argument)`; what it writes goes to `output`."""
        self._here.send((task, argument, str(output)))
        while (message := self._here.recv())[0] != "began":
            self._has_ended(*message[1:])
        return ForkedProcess(message[1], output, self)

    def code_of(self, pid: int, within: float) -> int | None:
        """The exit code of a process, once it has ended; None where it runs on."""
        while pid not in self._ended:
            if not self._here.poll(within):
                return None
            self._has_ended(*self._here.recv()[1:])
        return self._ended.pop(pid)

    def _has_ended(self, pid: int, code: int, cpu_s: float) -> None:
        self._ended[pid] = code
        self.cpu_s += cpu_s


def end_with_parent() -> None:
    """Have this process killed when the one that started it ends, however that ends (Linux; elsewhere nothing)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _serve(asked: Connection, warm_up: Callable[[], None]) -> None:
    end_with_parent()
    warm_up()
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        ready = wait([asked, woken])
        if woken in ready:
            os.read(woken, 4096)
            _report_ended(asked)
        if asked in ready:
            try:
                task, argument, output = asked.recv()
            except EOFError:
                return
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (woken, wake, asked.fileno()):
                    os.close(descriptor)
                _live(task, argument, output)
            asked.send(("began", pid))


def _report_ended(asked: Connection) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.wait4(-1, os.WNOHANG))[0]:
            pid, status, took = ended
            asked.send(("ended", pid, os.waitstatus_to_exitcode(status), took.ru_utime + took.ru_stime))


def _live(task: Task, argument: Any, output: str) -> None:
    end_with_parent()
    code = 1
    try:
        write_to(output)
        gc.disable()  # it lives for a tenth of a second; collecting would only copy pages that are shared
        task(argument)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - it goes to the output, and the exit code says so
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
