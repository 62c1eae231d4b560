"""Disk operations besides reading and writing: syncing a folder, and the free space."""

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
