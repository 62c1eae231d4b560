"""What lies in the folder of a media store, and the mark that tells our store from an empty mount point."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final

from extend_pipeline.base.private import open_private
from extend_pipeline.media.store import ListedFilm, Mark

_FILM: Final = re.compile(r"[0-9a-f]{64}\.[0-9a-z]{1,8}")  # a poster's name has one dot more
_MARK: Final = ".media-store"
_WORDS: Final = (
    "This file marks the folder in which extend_pipeline keeps its films. Where it is missing, the folder counts as\n"
    "not mounted, and nothing that seems to be gone from it is fetched again without a person's word.\n"
)


def films_in(root: Path, folder: str) -> dict[str, ListedFilm]:
    """Return the films of one folder by their names in the ledger. Empty where there is no such folder; OSError where
    it can't be read."""
    films: dict[str, ListedFilm] = {}
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if _FILM.fullmatch(entry.name) and entry.is_file(follow_symlinks=True):
                    status = entry.stat()
                    films[f"{folder}/{entry.name}"] = ListedFilm(status.st_size, status.st_mtime_ns // 1_000_000)
    except FileNotFoundError:
        pass
    return films


def read_mark(root: Path) -> Mark | None:
    """Return the mark of the store at `root`; None where the folder has none, or where it can't be read."""
    try:
        with (root / _MARK).open(encoding="utf-8", errors="replace") as file:
            return Mark(file.readline().strip(), os.fstat(file.fileno()).st_mtime_ns // 1_000_000)
    except OSError:
        return None


def forget_look(root: Path) -> None:
    """Let the next look at the store be due at once; nothing where the mark can't be written."""
    with contextlib.suppress(OSError):
        os.utime(root / _MARK, ns=(0, 0))


def set_mark(root: Path, *, at_ms: int, new_id: str) -> str:
    """Mark the folder as a store that was looked at just now. Return its id, which is `new_id` where it had none.
    OSError where it can't be written."""
    path = root / _MARK
    if not path.exists():
        with open_private(path, "w") as file:
            file.write(f"{new_id}\n{_WORDS}")
    os.utime(path, ns=(at_ms * 1_000_000, at_ms * 1_000_000))
    seen = read_mark(root)
    return new_id if seen is None else seen.id
