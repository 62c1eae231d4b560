"""What a remembered catalogue depends on: the bytes of its files and images, the accounts, and the rules of reading."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

import pydantic
import yaml

from extend_pipeline.base.disk import file_mark
from extend_pipeline.base.version import program_version
from extend_pipeline.config.digest import digest
from extend_pipeline.config.fields.images import ImageFile
from extend_pipeline.config.files.text import is_file

_PROGRAM: Final = Path(__file__).parents[2]
_RULES: Final = ("base", "config", "providers", "engine/plan")
"""Folders of the program's code that decides what an entry means and how its steps are named."""

_SETTLED_NS: Final = 2_000_000_000
"""A file that was written less than this before it was read may be written again under the same mark."""


def content_digest(raw: bytes) -> str:
    """Return the digest of a file's bytes."""
    return hashlib.sha256(raw).hexdigest()


def digest_of(path: Path) -> str:
    """Return the digest of a file's bytes; empty if it can't be read."""
    if not is_file(path):  # a pipe would be waited for
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


@cache
def rules_digest() -> str:
    """Return the digest of the code that reads and checks catalogues, and of the libraries that it reads them with."""
    hashed = hashlib.sha256(f"{program_version()} {pydantic.VERSION} {yaml.__version__}".encode())
    for folder in _RULES:
        for path in sorted((_PROGRAM / folder).rglob("*.py")):
            with suppress(OSError):
                hashed.update(path.read_bytes())
    return hashed.hexdigest()


def catalogue_digest(accounts: str, files: Iterable[tuple[str, str, Sequence[ImageFile]]]) -> str:
    """Return the digest of a catalogue: of its accounts.yaml, and of its files as name, content and images, in their
    order."""
    written = [[name, content, [[i.written, i.sha256] for i in images]] for name, content, images in files]
    return digest({"rules": rules_digest(), "accounts": accounts, "files": written})


def is_unchanged(image: ImageFile, folder: Path) -> bool:
    """Return whether an image has the bytes that were read: at once if its mark is the same, else by its digest.
    `folder` is the one in which it is searched for."""
    try:
        path = (folder / image.written).resolve()
    except (OSError, ValueError):
        return False
    if str(path) != image.path:
        return False
    return (image.mark is not None and file_mark(path) == image.mark) or digest_of(path) == image.sha256


def settled_mark(image: ImageFile, *, now: datetime) -> tuple[int, ...] | None:
    """Return the mark by which an image may be known later; None if it was written too short a time before it was
    read. `now` is the time of reading."""
    if image.mark is None or int(now.timestamp() * 1e9) - max(image.mark[:2]) < _SETTLED_NS:
        return None
    return image.mark
