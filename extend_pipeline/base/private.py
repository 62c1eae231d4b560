"""Folders that are closed to other users of the machine, with every folder that has to be made above them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700


def make_private_folder(folder: Path) -> None:
    """Make a folder, mode 0700, and those above it that are missing; what exists already keeps its mode."""
    # one by one: `parents=True` makes those above with whatever the umask leaves
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(mode=FOLDER_MODE, exist_ok=True)
