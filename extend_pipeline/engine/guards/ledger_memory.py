"""What a home remembers of its ledger: a small file under `state/`, and an anchor that tells a home from its copy.

The anchor is an empty file. Its time of change (ctime) can't be set, so a copy, a restored backup or another machine's
home has another one, while a folder that was moved or a host that was renamed keeps it. After each purchase it is made
anew under another name: a backup that is put back over the folder brings a memory whose anchor is gone.
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
    server, which several homes may share; `anchor_file` is its name. `home` is where the home was: host:path."""

    ledger_id: str
    seq: int
    event: str
    bought: bool
    committed: Mapping[str, int]
    anchor: int | None
    home: str
    anchor_file: str = ANCHOR_FILE


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


def read_home(folder: Path) -> tuple[Memory | Unreadable | None, int | None]:
    """Return what the home remembers, and its anchor as it is now."""
    memory = read_memory(folder)
    anchor = read_anchor(folder, memory)
    if isinstance(memory, Memory) and memory.anchor not in (None, anchor):
        with _alone(folder, fcntl.LOCK_SH):  # another process may just have written both
            memory = read_memory(folder)
            anchor = read_anchor(folder, memory)
    return memory, anchor


def read_anchor(folder: Path, memory: Memory | Unreadable | None) -> int | None:
    """Return the ctime (ns) of the anchor that a memory names; None where there is none."""
    name = memory.anchor_file if isinstance(memory, Memory) else ANCHOR_FILE
    try:
        return (folder / name).stat().st_ctime_ns
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
            memory = _anchored(folder, memory, before)
        part = folder / f"{MEMORY_FILE}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(memory), file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / MEMORY_FILE)
        if memory.anchor is not None:
            for other in folder.glob(f"{ANCHOR_FILE}*"):
                if other.name != memory.anchor_file:
                    other.unlink(missing_ok=True)
    return True


def _anchored(folder: Path, memory: Memory, before: Memory | Unreadable | None) -> Memory:
    """Make the anchor where there is none, and another one where something was bought since. The one of before stays
    until the memory names the new one, so that a process which is killed in between leaves both in keeping."""
    name = before.anchor_file if isinstance(before, Memory) else ANCHOR_FILE
    if isinstance(before, Memory) and dict(before.committed) != dict(memory.committed):
        name = f"{ANCHOR_FILE}.{memory.seq}"
        if name != before.anchor_file:
            (folder / name).unlink(missing_ok=True)
    os.close(os.open(folder / name, os.O_WRONLY | os.O_CREAT, FILE_MODE))
    named = Memory(**{**asdict(memory), "anchor_file": name})
    return Memory(**{**asdict(named), "anchor": read_anchor(folder, named)})


@contextmanager
def _alone(folder: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Keep other processes from writing at the same time, and put the folder's names onto the disk at the end."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, kind)
        yield
        if kind == fcntl.LOCK_EX:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
