"""Runs the workers that open bytes from outside (`worker.py`), and tells a file's fault from this machine's.

A file that ends its worker is tried once more in a fresh one: only what ends both is the file's doing. What this
machine does to a worker (none can be started, one is killed from outside, no answer comes although it hardly computes)
says nothing of the file, and is for another time.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extend_pipeline.media.isolation.rlimits import Bounds

MAX_WORKERS: Final = 4  # at a time; as many as there are downloads
START_S: Final = 60.0  # for Python and libav to load on a machine that is very busy; 0.3 s otherwise
WALL_SHARE: Final = 10.0  # seconds that may pass for each second of computing; more, and the machine is to blame
MIN_WALL_S: Final = 60.0  # a machine may be busy for a minute
MAX_ANSWER: Final = 256_000  # bytes; a poster in base64 is the largest, at 14,000
_TRIES: Final = 5  # a used worker may have ended by itself; then two that the file ends, or two that others end
# of the fault of what was read; any other signal comes from outside, like the OOM killer's
_OWN_SIGNALS: Final = {
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "SIGXCPU", "SIGXFSZ")
}
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from extend_pipeline.media.isolation.worker import main; main(sys.argv[2])"
)
_KEPT_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # where Python's own libraries may lie


class ProbeUnavailable(OSError):
    """This machine could not look at the file; that says nothing about the file, and it can be tried again later."""


class FileCrashedWorker(Exception):
    """The file ended two workers that read it; the message is the rest of a sentence about the file."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The worker is gone: `code` as subprocess has it, None where it was ended here for answering nonsense."""

    code: int | None


class Prober:
    """Workers of one kind, started when they are needed. Safe to use from several threads."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_WORKERS)
        self._pid = os.getpid()

    def run(self, task: Mapping[str, object], *, cpu_s: float | None = None) -> Mapping[str, Any]:
        """What a worker answers to a task, for which it may compute `cpu_s` seconds (as the bounds say, by default).

        Raises Unreadable, CouldNotProbe; OSError where the task's file can't be read.
        """
        cpu_s = self.bounds.cpu_s if cpu_s is None else cpu_s
        with self._room:
            return self._run(json.dumps({**task, "cpu_s": cpu_s}).encode("ascii") + b"\n", cpu_s)

    def _run(self, line: bytes, cpu_s: float) -> Mapping[str, Any]:
        faults, killed, fresh = 0, 0, False
        for _ in range(_TRIES):
            worker = self._take(fresh=fresh)
            used = worker.used
            told = worker.ask(line, within_s=max(MIN_WALL_S, cpu_s * WALL_SHARE))
            if not isinstance(told, _Ended):
                if "ok" in told or "picture_error" in told:
                    self._give_back(worker)
                    return told
                worker.end()
                if "os_error" in told:
                    raise _os_error(told["os_error"])
            if isinstance(told, _Ended) and used and told.code == 0:
                continue  # it had retired while nobody looked
            fresh = True
            if isinstance(told, _Ended) and told.code is not None and _from_outside(told.code):
                killed += 1
                if killed > 1:
                    raise ProbeUnavailable(f"the process that reads it was killed twice, {_words(told)}")
                continue
            faults += 1
            if faults > 1:
                raise FileCrashedWorker(self._reason(told, cpu_s))
        raise ProbeUnavailable("the processes that read it ended again and again")

    def _reason(self, told: _Ended | Mapping[str, Any], cpu_s: float) -> str:
        if not isinstance(told, _Ended):
            if "memory" in told:
                return f"reading it takes more than {self.bounds.memory_bytes >> 20:,} MB of memory"
            return f"reading it fails ({str(told.get('stumbled'))[:40]})"
        if told.code == -signal.SIGXCPU:
            return f"reading it takes more than {cpu_s:g} s of computing"
        return f"the process that reads it ends, {_words(told)}"

    def _take(self, *, fresh: bool) -> Worker:
        with self._lock:
            if os.getpid() != self._pid:  # after a fork they answer to the parent
                self._idle, self._pid = [], os.getpid()
            worker = self._idle.pop() if self._idle and not fresh else None
        return worker or Worker(self.bounds)

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        """End the workers that are idle. Later tasks start new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
            mine = os.getpid() == self._pid
        for worker in idle if mine else ():
            worker.end()


class Worker:
    """One process. `used` says that it has answered before. Raises CouldNotProbe where it can't be started."""

    def __init__(self, bounds: Bounds) -> None:
        path = [entry for entry in sys.path if Path(entry).is_absolute()]
        command = [sys.executable, "-I", "-c", _BOOT, json.dumps(path), json.dumps(bounds.written())]
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        self.used = False
        self._buffer = b""
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                close_fds=True,  # no ledger, no lock, no connection of ours
                cwd="/",
                env={**kept, "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # a Ctrl-C at the terminal is for us; we end it
            )
        except OSError as error:
            raise ProbeUnavailable(error.errno, f"no process can be started to read it: {error.strerror}") from error
        told = self._answer(START_S)
        if isinstance(told, _Ended) or told.get("ready") is not True:
            self.end()
            raise ProbeUnavailable(
                "the process that should read it does not start; `extend-pipeline doctor` may say why"
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, line: bytes, *, within_s: float) -> Mapping[str, Any] | _Ended:
        """Its answer to one task. CouldNotProbe where none comes in time, which its computing can't explain."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone: what it ended by is found where its answer would be
            self._process.stdin.write(line)
        told = self._answer(within_s)
        self.used = True
        return told

    def end(self) -> int:
        """End it, if it has not ended yet; its exit code."""
        with suppress(OSError):
            self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def _answer(self, within_s: float) -> Mapping[str, Any] | _Ended:
        assert self._process.stdout is not None
        ends = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, ends - time.monotonic())):
                    self.end()
                    raise ProbeUnavailable(f"the process that reads it gave no answer for {within_s:g} s")
                data = os.read(self._process.stdout.fileno(), 65_536)
                if not data:
                    return _Ended(self._reaped())
                self._buffer += data
                if len(self._buffer) > MAX_ANSWER:
                    self.end()
                    return _Ended(None)
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or len(told) != 1 or self._buffer:
            self.end()
            return _Ended(None)
        return told

    def _reaped(self) -> int:
        """The exit code of a process that has closed its stdout, which it does by ending."""
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.end()
            return 1
        return self.end()


def _from_outside(code: int) -> bool:
    return code < 0 and -code not in _OWN_SIGNALS


def _words(ended: _Ended) -> str:
    if ended.code is None:
        return "after an answer that makes no sense"
    if ended.code >= 0:
        return f"with exit code {ended.code}"
    try:
        name = signal.Signals(-ended.code).name
    except ValueError:
        name = f"signal {-ended.code}"
    return f"by {name}" + (" (out of memory?)" if -ended.code == signal.SIGKILL else "")


def _os_error(told: Any) -> OSError:
    match told:
        case [int(number), str(words)] if not isinstance(number, bool):
            return OSError(number, words[:200])
        case _:
            return ProbeUnavailable("the process that reads it met an error of the system")


_PROBERS: Final[dict[Bounds, Prober]] = {}
_MAKING: Final = threading.Lock()


def prober(bounds: Bounds) -> Prober:
    """The workers of this process with these bounds."""
    with _MAKING:
        if bounds not in _PROBERS:
            _PROBERS[bounds] = Prober(bounds)
        return _PROBERS[bounds]


@atexit.register
def _end_all() -> None:
    for each in _PROBERS.values():
        each.close()
