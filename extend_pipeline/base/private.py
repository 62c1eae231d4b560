"""Files and folders that only this user can read, independent of the umask."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TextIO

from extend_pipeline.base.disk import sync_folder

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents with mode 0700; existing folders keep their mode."""
    if folder.is_dir():
        return
    # one by one, because `parents=True` creates the parents with the mode that the umask allows
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def open_private(path: Path, mode: Literal["a", "w", "x"]) -> TextIO:
    """Open a text file (UTF-8) for writing; a new file gets mode 0600, an existing one keeps its mode. Raises OSError
    as `open` does."""
    return open(path, mode, encoding="utf-8", opener=lambda name, flags: os.open(name, flags, FILE_MODE))


def replace_private(path: Path, text: str) -> None:
    """Replace a text file (UTF-8) by a new one of mode 0600. A reader, also one after a power cut, finds the old
    text or the new one. Raises OSError."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open_private(part, "x") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
