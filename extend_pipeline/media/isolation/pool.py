"""The pool of workers that open bytes from outside (`worker.py`), and the distinction between faults of a file and of
this machine.

A file that ends its worker is tried once more in a fresh one: only a file that ends both is at fault. If this machine
fails (no worker starts, one is killed from outside, no message comes although the worker uses little CPU time), the
file is tried again later.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from extend_pipeline.media.isolation.rlimits import Bounds

MAX_WORKERS: Final = 4  # at a time; as many as downloads at a time
PATIENCE_S: Final = 0.5  # before another worker is started, because a start costs as much as ten small films
START_S: Final = 60.0  # for Python and libav to load on a very busy machine; 0.3 s otherwise
WALL_SHARE: Final = 10.0  # seconds per second of CPU time; above, the machine is at fault
MIN_WALL_S: Final = 60.0  # a machine may be busy for a minute
MAX_MESSAGE: Final = 256_000  # bytes; a poster in base64 is the largest, at 14,000
_TRIES: Final = 5  # one worker that had retired, then two that the file ends, or two killed from outside
# raised by reading the file; any other signal comes from outside, like the OOM killer's
_OWN_SIGNALS: Final = {
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "SIGXCPU", "SIGXFSZ")
}
BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from extend_pipeline.media.isolation.worker import main; main(sys.argv[2])"
)
_KEPT_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # the folders of Python's own libraries


class ProbeUnavailable(OSError):
    """This machine could not read the file; the file may be valid, and can be tried again later."""


class FileCrashedWorker(Exception):
    """The file ended two workers that read it; the message is a part of a sentence about the file."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The worker has ended: `code` is subprocess's return code, None if it was ended for an invalid message."""

    code: int | None


class WorkerPool:
    """Workers with the same bounds, started on demand: the first at once, another one where none becomes idle within
    `patience_s`. Safe to use from several threads."""

    def __init__(self, bounds: Bounds | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self.bounds = bounds or Bounds()
        self._patience_s = patience_s
        self._idle: list[Worker] = []
        self._working = 0
        self._starting = 0
        self._lock = threading.Condition()
        self._room = threading.BoundedSemaphore(MAX_WORKERS)
        self._pid = os.getpid()

    def run(self, task: Mapping[str, object], *, cpu_s: float | None = None) -> Any:
        """Run a task in a worker with `cpu_s` seconds of CPU time (default: the bounds'), and return its result.

        Raises FileCrashedWorker, ProbeUnavailable; OSError if the task's file can't be read.
        """
        cpu_s = self.bounds.cpu_s if cpu_s is None else cpu_s
        with self._room:
            return self._run(json.dumps({**task, "cpu_s": cpu_s}).encode("ascii") + b"\n", cpu_s)

    def _run(self, line: bytes, cpu_s: float) -> Any:
        faults, kills, fresh = 0, 0, False
        for _ in range(_TRIES):
            with self._worker(fresh=fresh) as worker:
                used = worker.used
                match worker.ask(line, within_s=max(MIN_WALL_S, cpu_s * WALL_SHARE)):
                    case {"ok": result}:
                        self._give_back(worker)
                        return result
                    case _Ended(0) if used:
                        continue  # it had retired before this task
                    case _Ended(code) as ended if code is not None and is_from_outside(code):
                        kills += 1
                        if kills > 1:
                            raise ProbeUnavailable(f"the process that reads it was killed twice, {_describe(ended)}")
                    case outcome:
                        worker.end()
                        reason = self._fault(outcome, cpu_s)
                        faults += 1
                        if faults > 1:
                            raise FileCrashedWorker(reason)
            fresh = True
        raise ProbeUnavailable("the processes that read it ended again and again")

    def _fault(self, outcome: _Ended | Mapping[str, Any], cpu_s: float) -> str:
        """Return the file's fault, as a part of a sentence. Raises OSError if the system is at fault."""
        match outcome:
            case {"failed": [errno.ENOMEM, _]}:
                return f"reading it takes more than {self.bounds.memory_bytes >> 20:,} MB of memory"
            case {"failed": [int(number), str(message)]} if number > 0 and not isinstance(number, bool):
                raise OSError(number, message[:200])
            case _Ended(code) if code == -signal.SIGXCPU:
                return f"reading it takes more than {cpu_s:g} s of CPU time"
            case _Ended() as ended:
                return f"the process that reads it ends, {_describe(ended)}"
            case {"failed": [0, str(name)]}:
                return f"reading it fails ({name[:40]})"
            case _:
                return "reading it fails"

    @contextmanager
    def _worker(self, *, fresh: bool) -> Iterator[Worker]:
        """Yield an idle worker, or a new one."""
        with self._lock:
            if os.getpid() != self._pid:  # after a fork they belong to the parent
                self._idle, self._working, self._starting, self._pid = [], 0, 0, os.getpid()
            # One start at a time: on a busy machine it takes longer than the patience.
            while not self._lock.wait_for(lambda: fresh or self._idle or not self._working, self._patience_s):
                if not self._starting:
                    break
            worker = self._idle.pop() if self._idle and not fresh else None
            self._working += 1
            self._starting += worker is None
        try:
            yield worker or self._start()
        finally:
            with self._lock:
                self._working -= 1
                self._lock.notify()

    def _start(self) -> Worker:
        """Return a new worker."""
        try:
            return Worker(self.bounds)
        finally:
            with self._lock:
                self._starting -= 1

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    @property
    def idle_workers(self) -> tuple[Worker, ...]:
        """Return the workers that wait for a task, the next one to be used last."""
        with self._lock:
            return tuple(self._idle)

    def close(self) -> None:
        """End the idle workers. Later tasks start new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
            is_owner = os.getpid() == self._pid
        for worker in idle if is_owner else ():
            worker.end()


class Worker:
    """One process. `used`: it has had a task. Raises ProbeUnavailable if it can't be started."""

    def __init__(self, bounds: Bounds) -> None:
        path = [entry for entry in sys.path if Path(entry).is_absolute()]
        command = [sys.executable, "-I", "-c", BOOT, json.dumps(path), json.dumps(asdict(bounds))]
        libraries = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        self.used = False
        self._buffer = b""
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                close_fds=True,  # no ledger, lock or connection of this process
                cwd="/",
                env={**libraries, "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # so that Ctrl-C reaches only this process, which ends the worker
            )
        except OSError as error:
            raise ProbeUnavailable(error.errno, f"no process can be started to read it: {error.strerror}") from error
        if self._receive(START_S) != {"ok": True}:
            self.end()
            raise ProbeUnavailable("the process that should read it does not start; see `extend-pipeline doctor`")

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def ask(self, line: bytes, *, within_s: float) -> Mapping[str, Any] | _Ended:
        """Send a task and return its result message. Raises ProbeUnavailable if none comes within `within_s`."""
        assert self._process.stdin is not None
        with suppress(OSError):  # the worker has ended: _receive returns how
            self._process.stdin.write(line)
        message = self._receive(within_s)
        self.used = True
        return message

    def end(self) -> int:
        """End the process unless it has ended; return its return code."""
        with suppress(OSError):
            self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def _receive(self, within_s: float) -> Mapping[str, Any] | _Ended:
        assert self._process.stdout is not None
        deadline = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.end()
                    raise ProbeUnavailable(f"the process that reads it sent no message for {within_s:g} s")
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
        """Return the return code of a process that has closed its stdout, which it does only by ending."""
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.end()
            return 1
        return self.end()


def is_from_outside(code: int) -> bool:
    """Return whether a process with this return code was ended by a signal that no file can cause."""
    return code < 0 and -code not in _OWN_SIGNALS


def _describe(ended: _Ended) -> str:
    if ended.code is None:
        return "after an invalid message"
    if ended.code >= 0:
        return f"with exit code {ended.code}"
    try:
        name = signal.Signals(-ended.code).name
    except ValueError:
        name = f"signal {-ended.code}"
    return f"by {name}" + (" (out of memory?)" if -ended.code == signal.SIGKILL else "")


_POOLS: Final[dict[Bounds, WorkerPool]] = {}
_POOLS_LOCK: Final = threading.Lock()


def shared_pool(bounds: Bounds) -> WorkerPool:
    """Return this process's pool of workers with these bounds."""
    with _POOLS_LOCK:
        return _POOLS.setdefault(bounds, WorkerPool(bounds))


@atexit.register
def _end_all() -> None:
    for pool in _POOLS.values():
        pool.close()
