"""What a home remembers of its ledger: a small file under `state/`, and an anchor that tells a home from its copy.

The anchor is an empty file that is made once. Its time of change (ctime) can't be set, so a copy, a restored backup or
another machine's home has another one, while a folder that was moved or a host that was renamed keeps it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from extend_pipeline.base.private import FILE_MODE, make_private_folder

MEMORY_FILE: Final = "ledger.json"
ANCHOR_FILE: Final = "ledger.anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The ledger as it was last seen. `event` is the digest of event number `seq`, `committed` micro-units by account,
    `bought` whether anything was ever claimed. `anchor` is the ctime (ns) of the home's anchor; None for a ledger on a
    server, which several homes may share. `home` is where the home was: host:path."""

    ledger_id: str
    seq: int
    event: str
    bought: bool
    committed: Mapping[str, int]
    anchor: int | None
    home: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """There is a file, and it can't be read."""

    reason: str


def read_memory(folder: Path) -> Memory | Unreadable | None:
    """Return what the home remembers; None where it never worked with a ledger."""
    path = folder / MEMORY_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Memory(**found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        return Unreadable(f"{path}: {error}")


def read_anchor(folder: Path) -> int | None:
    """Return the ctime (ns) of the anchor; None where there is none."""
    try:
        return (folder / ANCHOR_FILE).stat().st_ctime_ns
    except OSError:
        return None


def write_memory(folder: Path, memory: Memory, *, instead_of: frozenset[str] | None) -> bool:
    """Write it whole and onto the disk, unless the file knows of purchases that it doesn't: a later event of the same
    ledger, or a ledger that isn't in `instead_of` (None: any may be replaced). Return whether it was written. Raises
    OSError."""
    make_private_folder(folder)
    with _alone(folder):
        before = read_memory(folder)
        if isinstance(before, Memory) and before.bought and instead_of is not None:
            newer = before.ledger_id == memory.ledger_id and before.seq >= memory.seq
            if newer or before.ledger_id not in instead_of:
                return False
        if memory.anchor is not None:
            memory = _anchored(folder, memory)
        part = folder / f"{MEMORY_FILE}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(memory), file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / MEMORY_FILE)
    return True


def _anchored(folder: Path, memory: Memory) -> Memory:
    """Make the anchor where there is none."""
    os.close(os.open(folder / ANCHOR_FILE, os.O_WRONLY | os.O_CREAT, FILE_MODE))
    return Memory(**{**asdict(memory), "anchor": read_anchor(folder)})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing at the same time, and put the folder's names onto the disk at the end."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
