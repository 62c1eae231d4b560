"""Disk space: how many more results fit beside the paid ones, and texts for disk errors. `read_space` reads the free
bytes; the rest computes."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline.base.disk import free_bytes
from extend_pipeline.base.wording import counted
from extend_pipeline.config.settings import Settings
from extend_pipeline.media.store import MediaStore
from extend_pipeline.media.stores import open_store

GIB: Final = 1024**3

DISK_ERRORS: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EIO,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.EXDEV,
    }
)
"""Error numbers of a write to a full disk, over a quota, or to a folder that can't or may not be written, in whose
place a file is, or which lies elsewhere."""

_WHOLE: Final = "put the folder itself back in its place"
_TODO: Final = {
    errno.EROFS: "mount it so that it can be written",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
    errno.EDQUOT: "raise the quota, or make room",
    errno.EIO: "look at the disk: it may be failing",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.ENOTDIR: "move away what is in the folder's place",
    errno.EEXIST: "move away what is in the folder's place",
    errno.ELOOP: f"{_WHOLE}, and take the link away",
    errno.EXDEV: f"{_WHOLE}, not on another disk",
    errno.ENOENT: "mount it, or make the folder that the link leads to",
}


class DiskError(OSError):
    """A folder of the home can't be written. The message names the folder, the awaited results, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Free bytes of the disks of films and state (None: unknown), and the bytes they need. `awaited` is the number of
    results that are paid, or may be, and not stored yet; `error` says why films can't be written at all."""

    media: str
    media_free: int | None
    state: Path
    state_free: int | None
    awaited: int
    result_bytes: int
    min_free_bytes: int
    error: DiskError | None = None

    @property
    def needed(self) -> int:
        """Return the bytes needed for the awaited results and the minimum that must stay free."""
        return self.awaited * self.result_bytes + self.min_free_bytes

    @property
    def is_short(self) -> bool:
        """Return whether the awaited results can't be written, or have too little space."""
        return (
            self.error is not None
            or (self.media_free is not None and self.media_free < self.needed)
            or self.state_is_full
        )

    @property
    def state_is_full(self) -> bool:
        """Return whether the disk of ledger, spool and warehouse has less than the minimum that must stay free."""
        return self.state_free is not None and self.state_free < self.min_free_bytes

    def fits(self) -> int | None:
        """Return how many more results fit; None without a bound."""
        if self.error is not None or self.state_is_full:
            return 0
        if self.media_free is None:
            return None
        left = self.media_free - self.needed
        if self.result_bytes == 0:
            return None if left >= 0 else 0
        return max(left // self.result_bytes, 0)

    def frees_itself(self) -> bool:
        """Return whether a step fits once the awaited results are stored, because their size is overestimated."""
        if self.state_is_full or self.media_free is None or not self.awaited:
            return False
        return self.media_free - self.min_free_bytes >= self.result_bytes

    def describe(self) -> str:
        """Return why films can't be written, or a text with the free space, the awaited results and the minimum that
        must stay free."""
        if self.error is not None:
            return str(self.error)
        if self.state_is_full:
            return f"{_size(self.state_free)} are free in {self.state}; {_size(self.min_free_bytes)} must stay free"
        room = f"{_size(self.media_free)} are free in {self.media}; a result is estimated at {_size(self.result_bytes)}"
        awaited = counted(self.awaited, "paid result")
        waiting = f", {awaited} to come take {_size(self.awaited * self.result_bytes)}" if self.awaited else ""
        return f"{room}{waiting}, and {_size(self.min_free_bytes)} must stay free"


MAKE_ROOM: Final = (
    "make room, or move the folder to a larger disk (EXTEND_PIPELINE_MEDIA_URL); what is paid for is fetched as soon "
    "as there is room. The bounds: EXTEND_PIPELINE_MIN_FREE_BYTES, EXTEND_PIPELINE_RESULT_BYTES"
)


def read_space(settings: Settings, store: MediaStore, *, awaited: int, error: DiskError | None = None) -> DiskSpace:
    """Read the free bytes of the media store and of the state's disk; `error` is that of the last `write_error`."""
    return DiskSpace(
        media=store.place,
        media_free=store.free_bytes(),
        state=settings.state_dir,
        state_free=free_bytes(settings.state_dir),
        awaited=awaited,
        result_bytes=settings.result_bytes,
        min_free_bytes=settings.min_free_bytes,
        error=error,
    )


def write_error(store: MediaStore) -> DiskError | None:
    """Try to write where films are written; return the error for the operator, None if it works."""
    try:
        store.try_write()
    except OSError as error:
        return _disk_error(error, Path(error.filename), awaited=0)
    return None


def require_space(store: MediaStore, needed: int | None) -> None:
    """Raise OSError (ENOSPC) when a file of `needed` bytes doesn't fit, before its download begins."""
    free = store.free_bytes()
    if needed is not None and free is not None and free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), store.place)


def as_disk_error(error: OSError, settings: Settings, *, awaited: int) -> DiskError | None:
    """Return a DiskError with a text for the operator; None for an OSError that is no disk error."""
    if isinstance(error, DiskError):
        return error
    return _disk_error(error, _folder_of(error, settings), awaited=awaited) if error.errno in DISK_ERRORS else None


def _disk_error(error: OSError, folder: Path, *, awaited: int) -> DiskError:
    waiting = f" {counted(awaited, 'paid result')} to be fetched once it can be written." if awaited else ""
    todo = _TODO.get(error.errno or 0, "make room there, or move the folder to a larger disk")
    message = (
        f"{folder} can't be written: {error.strerror or error} ({_size(free_bytes(folder))} free).{waiting} Nothing "
        f"is submitted until then. What to do: {todo}"
    )
    return DiskError(error.errno, message)


def _folder_of(error: OSError, settings: Settings) -> Path:
    """Return the folder to name in the message: the configured folder of the file in the error, else the folder of
    films, which are the largest."""
    films = Path(open_store(settings).place)
    named = Path(str(error.filename)) if error.filename is not None else films
    ours = (films, settings.state_dir)
    return next((folder for folder in ours if named.is_relative_to(folder)), named)


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / 1024**2:.1f} MiB"
