"""The home's memory of its ledger: a small file under `state/`, and an anchor that distinguishes a home from its copy.

The anchor is an empty file. Programs can't set its time of change (ctime), so a copy, a restored backup or a home on
another machine has another ctime, while a moved folder or a renamed host keeps it. After each purchase the anchor is
created again under another name. A backup that is restored over the folder therefore has a memory whose anchor is
missing.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from extend_pipeline.base.private import FILE_MODE, make_private_folder

MEMORY_FILE: Final = "ledger.json"
ANCHOR_FILE: Final = "ledger.anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The ledger when it was last read. `event` is the digest of event number `seq`, `committed` the micro-units by
    account, `bought` whether anything was ever claimed. `anchor` is the ctime (ns) of the home's anchor, None for a
    ledger on a server, because several homes may share it; `anchor_file` is its name. `home` is its host:path."""

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
    """The memory's file exists but can't be read."""

    reason: str


def read_memory(folder: Path) -> Memory | Unreadable | None:
    """Return the home's memory; None when it never worked with a ledger."""
    path = folder / MEMORY_FILE
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Memory(**fields)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        return Unreadable(f"{path}: {error}")


def read_home(folder: Path) -> tuple[Memory | Unreadable | None, int | None]:
    """Return the home's memory, and the current ctime (ns) of its anchor."""
    memory = read_memory(folder)
    anchor = read_anchor(folder, memory)
    if isinstance(memory, Memory) and memory.anchor not in (None, anchor):
        with _locked(folder, fcntl.LOCK_SH):  # another process may be writing both now
            memory = read_memory(folder)
            anchor = read_anchor(folder, memory)
    return memory, anchor


def read_anchor(folder: Path, memory: Memory | Unreadable | None) -> int | None:
    """Return the ctime (ns) of the anchor that a memory names; None when the file is missing."""
    name = memory.anchor_file if isinstance(memory, Memory) else ANCHOR_FILE
    try:
        return (folder / name).stat().st_ctime_ns
    except OSError:
        return None


def write_memory(folder: Path, memory: Memory, *, instead_of: frozenset[str] | None) -> bool:
    """Write the memory atomically and sync it to disk; return whether it was written.

    It isn't written over a memory of a later event of the same ledger, or over purchases in a ledger that isn't in
    `instead_of` (None: any ledger may be replaced). Raises OSError.
    """
    make_private_folder(folder)
    with _locked(folder):
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
    """Create the anchor if it is missing, or another one if something was bought since; return the memory with it.

    The old anchor stays until the new memory is written, so that after a kill in between the memory still matches an
    anchor.
    """
    name = before.anchor_file if isinstance(before, Memory) else ANCHOR_FILE
    if isinstance(before, Memory) and dict(before.committed) != dict(memory.committed):
        name = f"{ANCHOR_FILE}.{memory.seq}"
        if name != before.anchor_file:
            (folder / name).unlink(missing_ok=True)
    os.close(os.open(folder / name, os.O_WRONLY | os.O_CREAT, FILE_MODE))
    named = replace(memory, anchor_file=name)
    return replace(named, anchor=read_anchor(folder, named))


@contextmanager
def _locked(folder: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock on the folder (`kind`: shared or exclusive), and sync its names to disk after exclusive use."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, kind)
        yield
        if kind == fcntl.LOCK_EX:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
