"""The media store in a folder of this machine.

Layout below the root, folders 0700 and files 0600:

    ab/abcd….mp4           a stored film; its name is the sha256 of its bytes, and .webm, .mov, … where it is one
    ab/abcd….poster.jpg    its poster strip
    .incoming/….part       being written now, or left by a writer that ended; same file system: rename is atomic
    .incoming/….partial    an unfinished download, with its facts (partial.py)
    .frames/abcd….frames    frames of a film whose next hop is awaited (analysis/kept_frames.py); may be lost
    quarantine/….bin       bytes that arrived whole but are no valid film, kept as evidence; at most
                           MAX_QUARANTINED files of each attempt or source

No text from outside, such as an id or a URL, becomes a part of a path.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final

from extend_pipeline.base import disk
from extend_pipeline.base.disk import sync_folder
from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.base.private import make_private_folder
from extend_pipeline.media.analysis.kept_frames import KeptFrames
from extend_pipeline.media.check.container import HEAD_BYTES, Container, recognise_bytes
from extend_pipeline.media.check.probe import InvalidFile, Probe, ValidFile
from extend_pipeline.media.listing import MarkedFolder
from extend_pipeline.media.partial import Partial, open_partial, remove_abandoned, sweep_partials
from extend_pipeline.media.store import FOLDERS, POSTER, Check, MediaRef, Stored

MAX_QUARANTINED: Final = 4  # refused files of one attempt or source; the same bytes count once


class LocalStore(MarkedFolder):
    """The files below one root; a `MediaStore`, whose docstrings define what its methods do.

    The root is created with the first file; a root that already exists keeps its mode.
    """

    @property
    def place(self) -> str:
        """Return the root."""
        return str(self.root)

    def ingest(
        self,
        chunks: Iterable[bytes],
        *,
        expected_bytes: int | None,
        max_bytes: int,
        check: Check,
        wanted_for: str = "",
    ) -> Stored | InvalidFile:
        """Write the bytes to a temporary file while hashing them, check them, and rename the file."""
        if expected_bytes is not None and expected_bytes > max_bytes:
            return InvalidFile(f"the server announced {expected_bytes:,} bytes; {max_bytes:,} is the most allowed")
        with self._incoming() as (file, temporary):
            sha256, written = _write(file, chunks, max_bytes=max_bytes)
            if written > max_bytes:
                return InvalidFile(f"more than {max_bytes:,} bytes came, the most allowed; the download was stopped")
            if expected_bytes is not None and written != expected_bytes:
                return InvalidFile(f"the server announced {expected_bytes:,} bytes, but {written:,} came")
            return self._checked(file, temporary, sha256, written, check, wanted_for=wanted_for)

    @contextmanager
    def partial(self, key: str) -> Iterator[Partial | None]:
        """Open the partial file of download `key`; see `open_partial`."""
        with open_partial(self._folder(".incoming"), key) as partial:
            yield partial

    def ingest_partial(self, partial: Partial, sha256: str, *, check: Check, quarantine: bool) -> Stored | InvalidFile:
        """Check a complete download, and rename its file."""
        result = self._checked(
            partial.file, partial.path, sha256, partial.size, check, wanted_for=partial.key, quarantine=quarantine
        )
        if isinstance(result, Stored) or quarantine:
            partial.discard()
        return result

    def _checked(
        self,
        file: IO[bytes],
        temporary: Path,
        sha256: str,
        written: int,
        check: Check,
        *,
        wanted_for: str,
        quarantine: bool = True,
    ) -> Stored | InvalidFile:
        match check(temporary):
            case InvalidFile(reason):
                if not written:
                    return InvalidFile(reason)
                kept = self._quarantine(file, temporary, sha256, wanted_for) if quarantine else None
                return InvalidFile(reason, kept, sha256)
            case ValidFile(probe):
                ref = MediaRef(sha256, _suffix(file))
                self._place(file, temporary, ref)
                return Stored(ref, written, probe)

    def build(self, write: Callable[[Path], Probe | InvalidFile], *, max_bytes: int) -> Stored | InvalidFile:
        """Have a film written to a temporary file and checked, and rename the file."""
        with self._incoming() as (_, temporary):
            probed = write(temporary)
            if isinstance(probed, InvalidFile):
                return probed
            size = temporary.stat().st_size
            if size > max_bytes:
                return InvalidFile(f"the film has {size:,} bytes; {max_bytes:,} is the most allowed")
            with temporary.open("rb") as written:  # opened anew, because another file may be under this name now
                ref = MediaRef(hashlib.file_digest(written, "sha256").hexdigest(), ".mp4")
                self._place(written, temporary, ref)
            return Stored(ref, size, probed)

    def put_poster(self, sha256: str, jpeg: bytes) -> MediaRef:
        """Write a film's poster to a temporary file, and rename it."""
        ref = MediaRef(sha256, POSTER)
        with self._incoming() as (file, temporary):
            file.write(jpeg)
            _sync(file)
            self._rename(temporary, self.root / str(ref))
            self._make_lasting(self.root / str(ref))
        return ref

    @property
    def kept_frames(self) -> KeptFrames:
        """Return the files in `.frames`."""
        return KeptFrames(self.root / ".frames")

    @contextmanager
    def local(self, ref: MediaRef) -> Iterator[Path]:
        """Yield the path of the stored file, which must only be read."""
        path = self._path(ref)
        path.stat()  # FileNotFoundError
        yield path

    def exists(self, ref: MediaRef) -> bool:
        """Return whether the file exists."""
        return self._path(ref).is_file()

    def location(self, ref: MediaRef) -> str:
        """Return the file's path."""
        return str(self._path(ref))

    def is_there(self) -> bool:
        """Return whether the root is a folder."""
        return self.root.is_dir()

    def make(self) -> None:
        """Create the root with mode 0700."""
        make_private_folder(self.root)

    def free_bytes(self) -> int | None:
        """Return the free bytes on the root's disk."""
        return disk.free_bytes(self.root)

    def try_write(self) -> None:
        """Try the folder of unfinished files, and the root, in which the others are made."""
        for folder in (self.root, self.root / ".incoming"):
            disk.try_write(folder)

    def folders(self) -> Iterator[Path]:
        """Yield the root, and the existing folders of films."""
        yield self.root
        yield from (folder for name in FOLDERS if (folder := self.root / name).is_dir())

    def _path(self, ref: MediaRef) -> Path:
        """Return a file's path. Raises OSError (ELOOP) if a symbolic link leads out of the store."""
        path = self.root / str(ref)
        self._require_inside(path.parent)
        self._require_inside(path)
        return path

    def _require_inside(self, path: Path) -> None:
        # Path.is_symlink raises where another user's folder can't be looked into
        is_link = os.path.islink(path)  # noqa: PTH114
        if is_link and not path.resolve().is_relative_to(self.root.resolve()):
            raise OSError(errno.ELOOP, f"the link {path.relative_to(self.root)} leads out of it", str(path))

    def forget(self, key: str) -> None:
        """Remove the partial file of an abandoned download."""
        with self.partial(key) as partial:
            if partial is not None:
                partial.discard()

    def sweep(self, *, older_than_s: float, now: float, keep: Iterable[str] = ()) -> int:
        """Remove abandoned files from `.incoming`, and old ones from `.frames`."""
        self.kept_frames.sweep(now=now)
        incoming = self.root / ".incoming"
        removed = sweep_partials(incoming, keep=keep, older_than_s=older_than_s, now=now)
        return removed + remove_abandoned(incoming.glob("*.part"), older_than_s=older_than_s, now=now)

    @contextmanager
    def _incoming(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a locked temporary file with mode 0600, and remove it afterwards unless it was renamed."""
        folder = self._folder(".incoming")
        descriptor, name = tempfile.mkstemp(suffix=".part", dir=folder)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield file, temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _place(self, file: IO[bytes], temporary: Path, ref: MediaRef) -> None:
        """Rename the checked file to its name, and make it durable."""
        failpoint("collect.before_fsync")
        _sync(file)
        failpoint("collect.before_rename")
        final = self.root / str(ref)
        # A file with other bytes under this name was damaged: the new one, whose hash is known, replaces it.
        if not _has_hash(final, ref.sha256):
            self._rename(temporary, final)
            failpoint("collect.after_rename")
        # Also if it existed: its writer may have ended before this, and the name must be durable.
        self._make_lasting(final)

    def _quarantine(self, file: IO[bytes], temporary: Path, sha256: str, wanted_for: str) -> str | None:
        """Keep refused bytes; return their path below the root, None if they were dropped. Of more than MAX_QUARANTINED
        files the largest stay, because a paid film is larger than an error page."""
        owner = hashlib.sha256(wanted_for.encode()).hexdigest()[:16]
        relative = f"quarantine/{owner}-{sha256}.bin"
        kept = sorted(self.root.glob(f"quarantine/{owner}-*.bin"), key=lambda path: path.stat().st_size)
        if len(kept) >= MAX_QUARANTINED and self.root / relative not in kept:
            if kept[0].stat().st_size >= temporary.stat().st_size:
                return None
            kept[0].unlink(missing_ok=True)
        _sync(file)
        self._rename(temporary, self.root / relative)
        self._make_lasting(self.root / relative)
        return relative

    def _rename(self, temporary: Path, final: Path) -> None:
        self._folder(final.parent.name)
        temporary.replace(final)

    def _make_lasting(self, final: Path) -> None:
        """Sync the folders of a renamed file, because a rename is durable only once they are on disk."""
        sync_folder(final.parent)
        sync_folder(self.root)

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        self._require_inside(folder)
        if not folder.is_dir():
            if not self.root.is_dir():
                make_private_folder(self.root)
                sync_folder(self.root.parent)
            make_private_folder(folder)
        return folder


def _write(file: BinaryIO, chunks: Iterable[bytes], *, max_bytes: int) -> tuple[str, int]:
    """Write the chunks; return their sha256 and length. Stop once the length exceeds `max_bytes`."""
    digest = hashlib.sha256()
    written = 0
    for number, chunk in enumerate(chunks):
        written += len(chunk)
        if written > max_bytes:
            break
        file.write(chunk)
        digest.update(chunk)
        if number == 0:
            file.flush()
            failpoint("collect.mid_download")
    file.flush()
    return digest.hexdigest(), written


def _suffix(checked: IO[bytes]) -> str:
    """Return the extension for a film's container."""
    kind = recognise_bytes(os.pread(checked.fileno(), HEAD_BYTES, 0))
    return kind.suffix if isinstance(kind, Container) else ".mp4"


def _has_hash(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
