"""Listing of a store's folder, and the mark that distinguishes our store from an empty mount point."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from extend_pipeline.base.private import open_private
from extend_pipeline.media.store import ListedFilm, Mark

_FILM: Final = re.compile(r"[0-9a-f]{64}\.[0-9a-z]{1,8}")  # a poster's name has one dot more
_MARK: Final = ".media-store"
_MARK_TEXT: Final = (
    "This file marks the folder in which extend_pipeline keeps its films. If it is missing, the folder counts as not\n"
    "mounted, and no film that is missing from it is fetched again unless the operator asks for it.\n"
)


class MarkedFolder:
    """The part of a `MediaStore` that lists films and keeps the mark, for the store in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def films_in(self, folder: str) -> Mapping[str, ListedFilm]:
        """List a folder's films; empty if there is no such folder."""
        films: dict[str, ListedFilm] = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.root / folder) as entries:
            for entry in entries:
                if _FILM.fullmatch(entry.name) and entry.is_file(follow_symlinks=True):
                    status = entry.stat()
                    films[f"{folder}/{entry.name}"] = ListedFilm(status.st_size, status.st_mtime_ns // 1_000_000)
        return films

    def mark(self) -> Mark | None:
        """Read the mark."""
        try:
            with (self.root / _MARK).open(encoding="utf-8", errors="replace") as file:
                return Mark(file.readline().strip(), os.fstat(file.fileno()).st_mtime_ns // 1_000_000)
        except OSError:
            return None

    def forget_look(self) -> None:
        """Set the mark's time to 1970."""
        with contextlib.suppress(OSError):
            os.utime(self.root / _MARK, ns=(0, 0))

    def set_mark(self, *, at_ms: int, new_id: str) -> str:
        """Write the mark; its modification time is the time of the check."""
        path = self.root / _MARK
        if not path.exists():
            with open_private(path, "w") as file:
                file.write(f"{new_id}\n{_MARK_TEXT}")
        os.utime(path, ns=(at_ms * 1_000_000, at_ms * 1_000_000))
        mark = self.mark()
        return new_id if mark is None else mark.id
