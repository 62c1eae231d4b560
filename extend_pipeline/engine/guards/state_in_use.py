"""A lock that keeps the state folder from being removed while it is used: each open home holds it shared, and
`demo --fresh`, which removes the folder, holds it exclusively."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extend_pipeline.base.private import FILE_MODE, make_private_folder

IN_USE: Final = "in-use.lock"
"""Name of the locked file in the state folder. The folder itself is locked for writing the ledger's memory."""


class StateInUseError(RuntimeError):
    """The state is in use by other work, or is being removed; the message says which."""


@contextlib.contextmanager
def state_in_use(state: Path, *, alone: bool = False) -> Iterator[None]:
    """Keep the state from being removed during the block; with `alone`, also keep other work from using it.

    Raises StateInUseError; with `alone`, also OSError when the file can't be locked.
    """
    try:
        make_private_folder(state)
        descriptor = os.open(state / IN_USE, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError:
        if alone:
            raise
        yield  # a folder that can't be written can't be removed either, and the work reports the error
        return
    try:
        try:
            is_ours = try_lock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        except OSError:  # a network disk without locks: nothing is removed there, because removing needs the lock too
            if alone:
                raise
            is_ours = True
        if not is_ours:
            others = "other work, such as `advance`, `callbacks` or Dagster" if alone else "a `demo` that removes it"
            raise StateInUseError(f"{state} is in use by {others}: end it, or wait for its end")
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, how: int) -> bool:
    """Lock an open file or folder without waiting; return False when another process has the lock. Raises OSError when
    it can't be locked."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True
