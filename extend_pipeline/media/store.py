"""The interface of the media store: files named by the hash of their bytes, stored whole or not at all.

The scheme of EXTEND_PIPELINE_MEDIA_URL selects the store (`stores.py`). Only the store knows where its files are: a
caller that needs a file on this machine opens it with `local`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, Self

from extend_pipeline.media.analysis.kept_frames import KeptFrames
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
    """A file of the store: the sha256 of its film's bytes in lower-case hexadecimal, and an extension for its kind. Its
    text is the name in the ledger: `ab/abcd….mp4`. Raises ValueError for other values, so that no text from outside
    becomes a part of a path."""

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
        """Parse a name in the ledger. Raises ValueError."""
        sha256, dot, extension = name[3:].partition(".")
        ref = cls(sha256, dot + extension)
        if str(ref) != name:
            raise ValueError(f"{name!r} is not a name in the media store")
        return ref


@dataclass(frozen=True, slots=True)
class Stored:
    """A film that is durable in the store."""

    ref: MediaRef
    bytes: int
    probe: Probe

    @property
    def sha256(self) -> str:
        """Return the sha256 of the film's bytes."""
        return self.ref.sha256

    @property
    def path(self) -> str:
        """Return the film's name in the ledger."""
        return str(self.ref)


class ListedFilm(NamedTuple):
    """A film in a listing of the store: its size, and when it was modified (UTC ms)."""

    bytes: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of a store: its id, and when the whole store was last checked (UTC ms)."""

    id: str
    at_ms: int


class MediaStore(Protocol):
    """Films, posters, unfinished downloads and refused files. Several threads and processes may use a store at once.

    Every method may raise OSError if the store can't be read or written.
    """

    @property
    def place(self) -> str:
        """Return where the store is, for messages: a folder or an address."""
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
        """Store the bytes, whole or not at all, and return once they are durable.

        Returns InvalidFile if more than `max_bytes` come, a number other than `expected_bytes` comes, or `check`
        refuses the file. Refused bytes that came whole are quarantined for `wanted_for`, and `InvalidFile.kept` is
        their path. An exception of `chunks` or `check` is passed on, and leaves no file. The same bytes may come again.
        """
        ...

    def build(self, write: Callable[[Path], Probe | InvalidFile], *, max_bytes: int) -> Stored | InvalidFile:
        """Store a film that is made here: `write` fills the empty file at the path that it gets, checks it, and returns
        what it holds. An invalid film is not quarantined, because it can be made again without cost."""
        ...

    def partial(self, key: str) -> AbstractContextManager[Partial | None]:
        """Open the partial file of download `key` on this machine to continue it; None while another process or thread
        writes it."""
        ...

    def ingest_partial(self, partial: Partial, sha256: str, *, check: Check, quarantine: bool) -> Stored | InvalidFile:
        """Store a complete download, like `ingest`. Refused bytes stay in the partial file unless `quarantine` is set;
        they also stay if `check` raises."""
        ...

    def forget(self, key: str) -> None:
        """Remove the partial file of an abandoned download."""
        ...

    def sweep(self, *, older_than_s: float, now: float, keep: Iterable[str] = ()) -> int:
        """Remove files that ended writers left more than `older_than_s` before `now` (seconds since 1970), except
        partial files of the downloads in `keep`, which will be continued; return how many. Remove kept frames that are
        too old, too."""
        ...

    def put_poster(self, sha256: str, jpeg: bytes) -> MediaRef:
        """Store a film's poster strip, replacing an earlier one."""
        ...

    @property
    def kept_frames(self) -> KeptFrames:
        """Return the frames of films whose next hop is awaited, which are kept on this machine."""
        ...

    def local(self, ref: MediaRef) -> AbstractContextManager[Path]:
        """Yield a path of this machine to read the file from within the block. Raises FileNotFoundError if it is
        missing."""
        ...

    def exists(self, ref: MediaRef) -> bool:
        """Return whether a file is in the store."""
        ...

    def location(self, ref: MediaRef) -> str:
        """Return where the operator finds a file: an absolute path of this machine, or an address."""
        ...

    def films_in(self, folder: str) -> Mapping[str, ListedFilm]:
        """List the films of one of FOLDERS by their names in the ledger."""
        ...

    def is_there(self) -> bool:
        """Return whether the store exists; False if it is not mounted."""
        ...

    def make(self) -> None:
        """Create an empty store if there is none."""
        ...

    def mark(self) -> Mark | None:
        """Return the mark that distinguishes our store from an empty mount point, None if missing or unreadable."""
        ...

    def set_mark(self, *, at_ms: int, new_id: str) -> str:
        """Mark the store as checked at a time (UTC ms). Return its id, which is `new_id` if it had none."""
        ...

    def forget_look(self) -> None:
        """Make the next check of the store due at once, if the mark can be written."""
        ...

    def free_bytes(self) -> int | None:
        """Return the free bytes; None if there is no limit, or it is not known."""
        ...

    def try_write(self) -> None:
        """Write a temporary file where the next film would be written. Raises OSError, which names the folder."""
        ...

    def folders(self) -> Iterable[Path]:
        """Return the folders of this machine that the store writes to, its root first, for `doctor` to check."""
        ...
