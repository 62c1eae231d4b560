"""A power cut in the media store: what was not fsynced when a process died is taken away from the disk.

`watch` logs in the process which bytes of which file, and which names of which folder, have reached the disk; `cut`
then does to the files what a disk may do: bytes that were never synced are gone. A name that was given after its
folder's last sync may be gone too, or may be there; both are simulated. The ledger is left alone: SQLite syncs it by
itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_SYNCED, _RENAMED = "synced", "renamed"


def watch(log: Path) -> None:
    """From now on write down what this process syncs and renames."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    fsync, replace = os.fsync, os.replace

    def seen_fsync(fd: Any) -> None:
        fsync(fd)
        stat = os.fstat(fd if isinstance(fd, int) else fd.fileno())
        os.write(out, f"{_SYNCED} {stat.st_ino} {stat.st_size}\n".encode())

    def seen_replace(source: Any, target: Any, **rest: Any) -> None:
        replace(source, target, **rest)
        folder = Path(target).parent.stat().st_ino
        os.write(out, f"{_RENAMED} {Path(target).stat().st_ino} {folder}\n".encode())

    os.fsync, os.replace = seen_fsync, seen_replace  # type: ignore[assignment]


def cut(log: Path, media: Path, *, names_too: bool) -> int:
    """Take away what is not on the disk for sure, its new names too where asked; return the number of files that
    lost something."""
    whole: dict[int, int] = {}
    unsure: dict[int, int] = {}  # file → folder that was not synced since the file got its name
    for line in log.read_text().splitlines() if log.exists() else ():
        what, inode, more = line.split()
        if what == _SYNCED:
            whole[int(inode)] = int(more)
            unsure = {file: folder for file, folder in unsure.items() if folder != int(inode)}
        else:
            unsure[int(inode)] = int(more)
    lost = 0
    for path in [path for path in media.rglob("*") if path.is_file()]:
        stat = path.stat()
        kept = min(whole.get(stat.st_ino, 0), stat.st_size)
        if kept < stat.st_size:
            os.truncate(path, kept)
            lost += 1
        if names_too and stat.st_ino in unsure:
            path.unlink()
            lost += 1
    return lost
