"""Run the workers that open bytes from outside (`worker.py`), and tell a file's fault from this machine's.

A file that ends its worker is tried once more in a fresh one: only what ends both is the file's doing. What this
machine does to a worker (none can be started, one is killed from outside, no message comes although it hardly computes)
says nothing of the file, and is for another time.
"""

from __future__ import annotations

import atexit
import errno
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
MAX_MESSAGE: Final = 256_000  # bytes; a poster in base64 is the largest, at 14,000
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
    """The worker is gone: `code` as subprocess has it, None where it was ended here for a message without sense."""

    code: int | None


class Prober:
    """Workers of one kind, started when they are needed. Safe to use from several threads."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_WORKERS)
        self._pid = os.getpid()

    def run(self, task: Mapping[str, object], *, cpu_s: float | None = None) -> Any:
        """Return a worker's result of a task, for which it may compute `cpu_s` seconds (by default as the bounds say).

        Raises FileCrashedWorker, ProbeUnavailable; OSError where the task's file can't be read.
        """
        cpu_s = self.bounds.cpu_s if cpu_s is None else cpu_s
        with self._room:
            return self._run(json.dumps({**task, "cpu_s": cpu_s}).encode("ascii") + b"\n", cpu_s)

    def _run(self, line: bytes, cpu_s: float) -> Any:
        faults, kills, fresh = 0, 0, False
        for _ in range(_TRIES):
            worker = self._take(fresh=fresh)
            used = worker.used
            match worker.ask(line, within_s=max(MIN_WALL_S, cpu_s * WALL_SHARE)):
                case {"ok": result}:
                    self._give_back(worker)
                    return result
                case _Ended(0) if used:
                    continue  # it had retired before the task came
                case _Ended(code) as ended if code is not None and _from_outside(code):
                    kills += 1
                    if kills > 1:
                        raise ProbeUnavailable(f"the process that reads it was killed twice, {_words(ended)}")
                case message:
                    worker.end()
                    reason = self._fault(message, cpu_s)
                    faults += 1
                    if faults > 1:
                        raise FileCrashedWorker(reason)
            fresh = True
        raise ProbeUnavailable("the processes that read it ended again and again")

    def _fault(self, message: _Ended | Mapping[str, Any], cpu_s: float) -> str:
        """Return what the file did to a worker. Raises OSError where it was the system."""
        match message:
            case {"failed": [errno.ENOMEM, _]}:
                return f"reading it takes more than {self.bounds.memory_bytes >> 20:,} MB of memory"
            case {"failed": [int(number), str(words)]} if number > 0 and not isinstance(number, bool):
                raise OSError(number, words[:200])
            case _Ended(code) if code == -signal.SIGXCPU:
                return f"reading it takes more than {cpu_s:g} s of computing"
            case _Ended() as ended:
                return f"the process that reads it ends, {_words(ended)}"
            case {"failed": [0, str(name)]}:
                return f"reading it fails ({name[:40]})"
            case _:
                return "reading it fails"

    def _take(self, *, fresh: bool) -> Worker:
        with self._lock:
            if os.getpid() != self._pid:  # after a fork they work for the parent
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
    """One process. `used` says that it has had a task. Raises ProbeUnavailable where it can't be started."""

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
        if self._receive(START_S) != {"ok": True}:
            self.end()
            raise ProbeUnavailable(
                "the process that should read it does not start; `extend-pipeline doctor` may say why"
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def ask(self, line: bytes, *, within_s: float) -> Mapping[str, Any] | _Ended:
        """Return its message about one task. Raises ProbeUnavailable where none comes in time, which its computing
        can't explain."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone: how it ended is found where its message would be
            self._process.stdin.write(line)
        message = self._receive(within_s)
        self.used = True
        return message

    def end(self) -> int:
        """End it, if it has not ended yet; return its exit code."""
        with suppress(OSError):
            self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def _receive(self, within_s: float) -> Mapping[str, Any] | _Ended:
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
                if len(self._buffer) > MAX_MESSAGE:
                    self.end()
                    return _Ended(None)
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or len(message) != 1 or self._buffer:
            self.end()
            return _Ended(None)
        return message

    def _reaped(self) -> int:
        """Return the exit code of a process that has closed its stdout, which it does by ending."""
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


_PROBERS: Final[dict[Bounds, Prober]] = {}
_MAKING: Final = threading.Lock()


def prober(bounds: Bounds) -> Prober:
    """Return the workers of this process with these bounds."""
    with _MAKING:
        if bounds not in _PROBERS:
            _PROBERS[bounds] = Prober(bounds)
        return _PROBERS[bounds]


@atexit.register
def _end_all() -> None:
    for pool in _PROBERS.values():
        pool.close()
