"""The received part of a download, kept across tries and processes.

    .incoming/<name>.partial   the bytes; the writing process holds a lock on the file
    .incoming/<name>.facts     the known properties of the whole file, as JSON

The name is a digest, so that no id and no URL becomes a part of a path.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any, Final

from extend_pipeline.base.failpoints import failpoint

SYNC_BYTES: Final = 16 * 1024**2  # a power cut costs at most this much of the received bytes
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_OPEN_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """The known properties of a download: the whole file's validator and length in bytes.

    `joined`: the bytes come from more than one HTTP response. `unsound` is the sha256 of an earlier joined file that
    was not a valid film. `refused` counts ranges that the server refused in a row. `synced` bytes survive a power cut;
    the others count only until the machine starts again (`boot`). The field names are stored.
    """

    validator: str | None = None
    total: int | None = None
    joined: bool = False
    unsound: str | None = None
    refused: int = 0
    synced: int = 0
    boot: str = ""


class Partial:
    """An open partial file of the download `key`, locked for this process. `size` is the number of usable bytes."""

    def __init__(self, file: FileIO, path: Path, key: str) -> None:
        self.file, self.path, self.key = file, path, key
        self._facts_path = path.with_suffix(".facts")
        self.size, self.facts = self._state()
        self.file.truncate(self.size)
        self.file.seek(self.size)
        self._digest = None if self.size else hashlib.sha256()  # of the bytes, where all came through this object

    def begin(self, validator: str | None, total: int | None, *, unsound: str | None = None) -> None:
        """Discard the bytes and start again, with the response's validator and length in bytes of the whole file."""
        self.file.truncate(0)
        self.file.seek(0)
        self.size = 0
        self._digest = hashlib.sha256()
        self._write_facts(Facts(validator, total, unsound=unsound or self.facts.unsound, boot=_boot_id()))

    def note(self, **changes: Any) -> None:
        """Change facts, such as `joined` or `refused`."""
        changed = replace(self.facts, **changes)
        if changed != self.facts:
            self._write_facts(changed)

    def append(self, chunks: Iterable[bytes]) -> None:
        """Append the chunks. An exception of `chunks` or an OSError is passed on, and the bytes written before it
        stay."""
        for number, chunk in enumerate(chunks):
            if self._digest is not None:
                self._digest.update(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[self.file.write(rest) or 0 :]
            self.size += len(chunk)
            if number == 0:
                failpoint("collect.mid_download")
            if self.size - self.facts.synced >= SYNC_BYTES:
                os.fsync(self.file.fileno())
                self._write_facts(replace(self.facts, synced=self.size))

    def sha256(self) -> str:
        """Return the sha256 of all bytes; those that an earlier process has written are read for it."""
        if self._digest is not None:
            return self._digest.hexdigest()
        self.file.seek(0)
        digest = hashlib.file_digest(self.file, "sha256").hexdigest()
        self.file.seek(self.size)
        return digest

    def discard(self) -> None:
        """Remove the bytes, unless they were moved into the store, and the facts."""
        if _is_at(self.file, self.path):
            self.path.unlink(missing_ok=True)
        elif self.path.exists():
            return  # another process has started again
        self._facts_path.unlink(missing_ok=True)

    def _state(self) -> tuple[int, Facts]:
        size = os.fstat(self.file.fileno()).st_size
        try:
            stored = Facts(**json.loads(self._facts_path.read_text(encoding="utf-8")))
            total = None if stored.total is None else int(stored.total)
            facts = replace(stored, total=total, synced=int(stored.synced), refused=int(stored.refused))
        except (OSError, ValueError, TypeError):
            return 0, Facts()
        if not facts.boot or facts.boot != _boot_id():
            size = min(size, facts.synced)  # after a power cut, later bytes may be holes
        if facts.total is not None and size > facts.total:
            size = 0
        return (size, facts) if size else (0, Facts(unsound=facts.unsound))

    def _write_facts(self, facts: Facts) -> None:
        temporary = self._facts_path.with_suffix(".facts-new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps({field.name: getattr(facts, field.name) for field in fields(facts)}))
            temporary.replace(self._facts_path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self.facts = facts


def partial_name(key: str) -> str:
    """Return the file name, without suffix, for download `key`."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def open_partial(folder: Path, key: str) -> Iterator[Partial | None]:
    """Open a download's partial file for writing; yield None while another process or thread writes it. The lock ends
    with its process, so that the next process can continue after a kill."""
    path = folder / f"{partial_name(key)}.partial"
    for _ in range(_OPEN_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with FileIO(descriptor, "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                break
            if not _is_at(file, path):
                continue  # its last writer moved or removed it between our opening and our lock
            partial = Partial(file, path, key)
            try:
                yield partial
            finally:
                if not partial.size and partial.facts.unsound is None:
                    partial.discard()
            return
    yield None


def sweep_partials(folder: Path, *, keep: Iterable[str], older_than_s: float, now: float) -> int:
    """Remove abandoned partial files, except those of the downloads in `keep`; return how many. `now` is in seconds
    since 1970."""
    kept = {partial_name(key) for key in keep}
    paths = (path for path in folder.glob("*.partial") if path.stem not in kept)
    removed = remove_abandoned(paths, older_than_s=older_than_s, now=now)
    for path in folder.glob("*.facts*"):
        try:
            if not path.with_suffix(".partial").exists() and now - path.stat().st_mtime > older_than_s:
                path.unlink()
        except FileNotFoundError:
            continue
    return removed


def remove_abandoned(paths: Iterable[Path], *, older_than_s: float, now: float) -> int:
    """Remove files that were last written more than `older_than_s` before `now` and that no process has locked; return
    how many.

    A lock ends with its process. The age protects writers on other machines if the file system does not share locks.
    """
    removed = 0
    for path in sorted(paths):
        try:
            with path.open("rb") as file:
                if now - os.fstat(file.fileno()).st_mtime <= older_than_s:
                    continue
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
        except (BlockingIOError, FileNotFoundError):
            continue  # a process writes it, or has finished it
    return removed


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@cache
def _boot_id() -> str:
    """Return the id of the machine's current boot, empty if the system has none. No process outlives its boot."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
