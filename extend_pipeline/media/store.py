"""The media store as the rest of the package sees it: files by the hash of their bytes, whole or not there at all.

A store is chosen by the scheme of EXTEND_PIPELINE_MEDIA_URL (`stores.py`). Nothing but a store knows where its files
lie: a caller that needs one on this machine asks for it with `local`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, Self

from extend_pipeline.media.check.probe import InvalidFile, Probe, ValidFile
from extend_pipeline.media.partial import Partial

FOLDERS: Final = tuple(f"{number:02x}" for number in range(256))
"""The names of the folders that hold films: the first two digits of their hashes."""

POSTER: Final = ".poster.jpg"
"""The extension of a film's poster strip."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_EXTENSION: Final = re.compile(r"\.[0-9a-z]{1,8}")

Check = Callable[[Path], ValidFile | InvalidFile]


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A file of the store: the sha256 of its film's bytes in lower-case hexadecimal, and the extension that says what
    it is. Its text is the name that the ledger keeps: `ab/abcd….mp4`. ValueError for anything else, so that no text
    from outside becomes a part of a path."""

    sha256: str
    extension: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.sha256!r} is not a sha256 in lower-case hexadecimal")
        if self.extension != POSTER and not _EXTENSION.fullmatch(self.extension):
            raise ValueError(f"{self.extension!r} is not the extension of a film or a poster")

    def __str__(self) -> str:
        return f"{self.sha256[:2]}/{self.sha256}{self.extension}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a name of the ledger."""
        sha256, dot, extension = name[3:].partition(".")
        ref = cls(sha256, dot + extension)
        if str(ref) != name:
            raise ValueError(f"{name!r} is not a name in the media store")
        return ref


@dataclass(frozen=True, slots=True)
class Stored:
    """A film that is durably in the store."""

    ref: MediaRef
    bytes: int
    probe: Probe

    @property
    def sha256(self) -> str:
        """Return the hash of its bytes."""
        return self.ref.sha256

    @property
    def path(self) -> str:
        """Return its name in the ledger."""
        return str(self.ref)


class ListedFilm(NamedTuple):
    """A film as a listing of the store shows it; `modified_ms` is in UTC."""

    bytes: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of a store: its id, and when the whole store was last looked at (UTC ms)."""

    id: str
    at_ms: int


class MediaStore(Protocol):
    """Films, posters, unfinished downloads and refused files. Several threads and processes use a store at once.

    Every method may raise OSError where the store can't be read or written.
    """

    @property
    def place(self) -> str:
        """Return where the store is, for a person: a folder or an address."""
        ...

    def ingest(
        self,
        chunks: Iterable[bytes],
        *,
        expected_bytes: int | None,
        max_bytes: int,
        check: Check,
        wanted_for: str = "",
    ) -> Stored | InvalidFile:
        """Store what comes, whole or not at all, and only once it is durable.

        InvalidFile where more than `max_bytes` come, other than `expected_bytes` come, or `check` refuses the file.
        Refused bytes that came whole are quarantined for `wanted_for`, and `InvalidFile.kept` says where. An exception
        of `chunks` or `check` is passed on, and nothing is left behind. The same bytes may come again, at any time.
        """
        ...

    def build(
        self, write: Callable[[Path], InvalidFile | None], *, max_bytes: int, check: Check
    ) -> Stored | InvalidFile:
        """Store a film that is made here: `write` fills the empty file at the path that it gets. Nothing is
        quarantined: nobody paid for these bytes, and they can be made again."""
        ...

    def partial(self, key: str) -> AbstractContextManager[Partial | None]:
        """Open what has come so far of the download that `key` names, to go on with it; None while another process or
        thread writes it. It is kept on this machine."""
        ...

    def take_in(self, partial: Partial, sha256: str, *, check: Check, quarantine: bool) -> Stored | InvalidFile:
        """Store a download that is whole, as `ingest` does. Without `quarantine` refused bytes stay where they are, and
        so they do where `check` raises."""
        ...

    def forget(self, key: str) -> None:
        """Remove what has come of a download that is given up."""
        ...

    def sweep(self, *, older_than_s: float, now: float, keep: Iterable[str] = ()) -> int:
        """Remove what dead writers left more than `older_than_s` seconds before `now` (seconds since 1970); return how
        many files. The downloads that `keep` names are still to be finished: what has come of them stays."""
        ...

    def put_poster(self, sha256: str, jpeg: bytes) -> MediaRef:
        """Keep a film's poster strip, in place of an earlier one."""
        ...

    def local(self, ref: MediaRef) -> AbstractContextManager[Path]:
        """Open a file on this machine, to be read until the end of the block. FileNotFoundError where it is gone."""
        ...

    def exists(self, ref: MediaRef) -> bool:
        """Return whether a file is there."""
        ...

    def location(self, ref: MediaRef) -> str:
        """Return where a person finds a file: an absolute path of this machine, or an address."""
        ...

    def films_in(self, folder: str) -> Mapping[str, ListedFilm]:
        """List the films of one of FOLDERS, by their names in the ledger."""
        ...

    def is_there(self) -> bool:
        """Return whether there is a store at its place; one that is not mounted isn't."""
        ...

    def make(self) -> None:
        """Make the store, empty, where there is none."""
        ...

    def mark(self) -> Mark | None:
        """Return the mark by which our store is told from an empty mount point; None where it has none, or can't be
        read."""
        ...

    def set_mark(self, *, at_ms: int, new_id: str) -> str:
        """Mark the store as looked at (UTC ms). Return its id, which is `new_id` where it had none."""
        ...

    def forget_look(self) -> None:
        """Let the next look at the store be due at once; nothing where the mark can't be written."""
        ...

    def free_bytes(self) -> int | None:
        """Return how many bytes have room; None where there is no bound, or it isn't known."""
        ...

    def folders(self) -> Iterable[Path]:
        """Return the folders of this machine that the store writes to, its root first, for `doctor` to look at."""
        ...
