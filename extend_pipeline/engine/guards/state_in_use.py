"""Keep the state of a home from being removed while a program works in it."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from extend_pipeline.base.private import FILE_MODE, make_private_folder

IN_USE: Final = "in-use.lock"
"""Name of the file in the state folder that programs lock together while they work, and one alone to remove the state.
The folder itself won't do: the ledger's memory locks it for a moment, now and then."""


class StateInUseError(Exception):
    """Another program works in the state, or removes it; the message says which."""


@contextmanager
def state_in_use(state: Path, *, alone: bool = False) -> Iterator[None]:
    """Hold the state until the end of the block, beside other work; `alone` to remove it. Raises StateInUseError, and
    OSError where `alone` can't be had."""
    try:
        make_private_folder(state)
        descriptor = os.open(state / IN_USE, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError:
        if alone:
            raise
        yield  # what can't be written can't be removed either, and the work itself says what is wrong
        return
    try:
        _lock(descriptor, state, alone=alone)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, state: Path, *, alone: bool) -> None:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            others = "a program that works in it" if alone else "a `demo` that removes it"
            raise StateInUseError(f"{state} is in use by {others}: end it, or wait for its end") from None
        if alone:
            raise  # a network disk without locks; work goes on there, and nothing is removed
