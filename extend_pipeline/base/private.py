"""Files and folders that are closed to other users of the machine, regardless of the umask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, TextIO

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def make_private_folder(folder: Path) -> None:
    """Make a folder, mode 0700, and those above it that are missing; what exists already keeps its mode."""
    # one by one: `parents=True` makes those above with the mode that the umask leaves
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(mode=FOLDER_MODE, exist_ok=True)


def open_private(path: Path, mode: Literal["a", "w", "x"]) -> TextIO:
    """Open a text file (UTF-8) to write, mode 0600 where it is made by that; what exists already keeps its mode. Raises
    OSError, as `open` does for this `mode`."""
    return open(path, mode, encoding="utf-8", opener=lambda name, flags: os.open(name, flags, FILE_MODE))
