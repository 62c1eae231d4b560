"""Disk operations besides reading and writing: syncing a folder, the free space, and whether a file can be or was
written."""

import os
import shutil
import tempfile
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk, because a new or renamed file survives a power cut only after its folder was synced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def nearest_existing(folder: Path) -> Path:
    """Return the folder, or the nearest of its parents that exists: what is there may also be no folder."""
    return next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path("/"))


def try_write(folder: Path) -> None:
    """Write a temporary file into a folder, or into the nearest existing parent, where it would be made. Raises
    OSError, which names the folder that was tried."""
    nearest = nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b"x")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(nearest)) from error


def free_bytes(folder: Path) -> int | None:
    """Return the bytes that this user may still write on the folder's disk; None when the disk doesn't report it."""
    nearest = next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
    try:
        usage = shutil.disk_usage(nearest)
    except OSError:
        return None
    return usage.free if usage.total else None


def file_mark(path: Path) -> tuple[int, ...] | None:
    """Return numbers that change when a file is written, replaced or changed in its rights; None if it can't be
    reached."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
