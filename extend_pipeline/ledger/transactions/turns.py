"""Fair turns of the processes that write one SQLite ledger.

SQLite's busy handler sleeps ever longer, up to 0.1 s, and wakes no process when the lock is free. So the process that
has just committed nearly always begins the next transaction too, and the others hardly write at all. Here a process
waits for two locks of a file beside the ledger: the first is a place at the head of the queue, the second is the turn.
A process that has had its turn must be at the head again before its next one, and while another process waits there,
that is not possible.

A turn is a courtesy and no lock of the ledger: the database alone decides what may be written. Where no turn begins for
a while (a process was stopped in the queue, say), the others write without one.
"""

import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_HEAD_OF_QUEUE: Final = 0
_TURN: Final = 1

_GAP_S: Final = 0.002  # between two tries; much shorter than a commit, and longer than what a try costs
_WITHOUT_S: Final = 20.0  # after a wait in vain, so that a stopped process costs the others one wait in this time


class Turns:
    """The turns of one process at the ledger in a file. Its threads take one turn after the other. `patience_s` is how
    long it waits while no turn begins."""

    def __init__(self, ledger: Path, *, patience_s: float = 1.5) -> None:
        self._path = ledger.with_name(f"{ledger.name}-turns")
        self._patience_s = patience_s
        self._without_until = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold a turn for the block, if there is one in time."""
        file = self._take() if time.monotonic() >= self._without_until else None
        try:
            yield
        finally:
            if file is not None:
                os.close(file)  # which releases its locks

    def _take(self) -> int | None:
        """Wait for a turn; return the file that holds it, or None without one."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # a read-only folder, or another user's file
            return None
        try:
            if self._lock(file, _HEAD_OF_QUEUE) and self._lock(file, _TURN):
                os.utime(file)  # shows the others that the queue moves
                fcntl.lockf(file, fcntl.LOCK_UN, 1, _HEAD_OF_QUEUE)
                return file
        except BaseException:  # Ctrl-C
            os.close(file)
            raise
        os.close(file)
        self._without_until = time.monotonic() + _WITHOUT_S
        return None

    def _lock(self, file: int, byte: int) -> bool:
        """Lock one byte of the file until it is closed. Return False where no turn begins for too long, or where the
        file system has no locks."""
        moved_at, ends = -1, 0.0
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    return False
            else:
                return True
            if (last_turn := os.fstat(file).st_mtime_ns) != moved_at:
                moved_at, ends = last_turn, time.monotonic() + self._patience_s
            elif time.monotonic() > ends:
                return False
            time.sleep(_GAP_S * random.uniform(0.5, 1.5))
