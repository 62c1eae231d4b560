"""Commit what several threads of one process write by one commit.

A commit costs some milliseconds of fsyncs, and on SQLite the wait for other processes before it. So threads that wait
to write meanwhile join the open transaction: one after the other, each in a savepoint of its own, so that one that
fails leaves no trace and keeps no other from being committed. No thread's block ends before the commit.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

_MAX_BLOCKS: Final = 32
_MAX_S: Final = 0.05  # no block joins a transaction that is older: other processes wait for it, and its first block


class _Group:
    """The blocks that are committed together."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_over = False
        self.error: BaseException | None = None
        """Why none of them was committed."""
        self.is_full = False
        """Whether no further block joins. A state and not a look at the clock, so that all threads agree on it."""
        self._blocks = 1
        self._full_at = time.monotonic() + _MAX_S

    def block_ended(self) -> None:
        """Count one more block."""
        self._blocks += 1
        self.is_full = self.error is not None or self._blocks >= _MAX_BLOCKS or time.monotonic() >= self._full_at


class GroupCommit:
    """The write transactions of one process. `begin` opens one and commits it at its end."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin
        self._changed = threading.Condition()
        self._waiting = 0
        """How many threads would join an open transaction."""
        self._in_use = False
        """Whether a thread uses the transaction, or begins or ends it."""
        self._open: _Group | None = None
        """The transaction that a waiting thread may join."""

    @contextmanager
    def block(self, *, shared: bool = True) -> Iterator[Connection]:
        """Yield the transaction to one thread, and return when it is committed. No other thread uses it meanwhile;
        without `shared`, nothing else is in it."""
        group = self._enter(shared=shared)
        yield from self._begun(shared=shared) if group is None else self._joined(group)

    def _enter(self, *, shared: bool) -> _Group | None:
        """Wait until no thread uses the transaction; return the one to join, or None where this thread begins one."""
        with self._changed:
            self._waiting += shared
            try:
                self._changed.wait_for(
                    lambda: not self._in_use and (self._open is None or (shared and not self._open.is_full))
                )
            finally:
                self._waiting -= shared
                self._changed.notify_all()
            self._in_use = True
            return self._open

    def _begun(self, *, shared: bool) -> Generator[Connection]:
        group: _Group | None = None
        try:
            with self._begin() as connection:
                yield connection
                if shared:
                    group = _Group(connection)
                    self._let_others_join(group)
                    if group.error is not None:
                        raise group.error
        except BaseException as error:
            if group is not None:
                group.error = error
            raise
        finally:
            with self._changed:
                self._in_use = False
                if group is not None:
                    group.is_over = True
                self._changed.notify_all()

    def _let_others_join(self, group: _Group) -> None:
        with self._changed:
            self._open, self._in_use = group, False
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not self._in_use and (not self._waiting or group.is_full))
            finally:
                self._open = None
                while self._in_use:  # also after Ctrl-C: another thread's block must not lose its transaction
                    with suppress(KeyboardInterrupt):
                        self._changed.wait()
                self._in_use = True

    def _joined(self, group: _Group) -> Generator[Connection]:
        has_ended = False
        try:
            savepoint = group.connection.begin_nested()
            try:
                yield group.connection
                savepoint.commit()
                has_ended = True
            except BaseException as error:
                try:
                    savepoint.rollback()
                except SQLAlchemyError as failure:  # SQLite has rolled everything back, as on a full disk
                    group.error = error if isinstance(error, SQLAlchemyError) else failure
                if group.connection.invalidated:  # it is lost, and with it what the others have written
                    group.error = error
                raise
        finally:
            with self._changed:
                self._in_use = False
                group.block_ended()
                self._changed.notify_all()
                if has_ended:
                    self._changed.wait_for(lambda: group.is_over)
        if group.error is not None:
            raise group.error
