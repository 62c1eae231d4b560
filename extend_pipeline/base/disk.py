"""Disk operations besides reading and writing: syncing a folder, the free space, and whether a file was written."""

import os
import shutil
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk, because a new or renamed file survives a power cut only after its folder was synced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
