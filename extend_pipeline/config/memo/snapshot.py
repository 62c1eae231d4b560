"""A checked catalogue in a SQLite file of its own, `state/catalogue.sqlite`. It is written once, then only read, and
replaced as a whole: a process that has one open keeps the catalogue that it was opened with.

It holds what the files say, as text, and no decision: each entry is read into its model again when it is asked for.
Removing the file costs the time of reading the files.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

from extend_pipeline.config.fields.images import ImageFile

FORM: Final = "1"
"""The form of the file. A file of another form is not read."""

_CHUNK: Final = 500
_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (file TEXT PRIMARY KEY, position INTEGER NOT NULL, content TEXT NOT NULL,
    on_change TEXT, defaults_line INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE images (file TEXT NOT NULL, written TEXT NOT NULL, path TEXT NOT NULL, mark TEXT NOT NULL,
    sha256 TEXT NOT NULL, PRIMARY KEY (file, written)) WITHOUT ROWID;
CREATE TABLE entries (key TEXT PRIMARY KEY, file TEXT NOT NULL, n INTEGER NOT NULL, line INTEGER NOT NULL,
    account TEXT NOT NULL, provider TEXT NOT NULL, again INTEGER NOT NULL, was TEXT, branch_of TEXT,
    start TEXT NOT NULL, created_ms INTEGER, day_line INTEGER, day_text TEXT, value TEXT NOT NULL,
    commas INTEGER NOT NULL);
CREATE INDEX entries_file ON entries (file, n);
CREATE INDEX entries_start ON entries (start);
CREATE INDEX entries_branch_of ON entries (branch_of) WHERE branch_of IS NOT NULL;
CREATE INDEX entries_account ON entries (account);
CREATE INDEX entries_was ON entries (was) WHERE was IS NOT NULL;
"""

DAYS: Final = """
SELECT file, day_line, day_text FROM entries JOIN files USING (file) WHERE day_text IS NOT NULL ORDER BY position, n
"""
"""Query of the times that are days alone, in the order of the files."""

SHARED_STARTS: Final = """
SELECT key FROM entries WHERE start IN (SELECT start FROM entries WHERE again = 0 GROUP BY start HAVING count(*) > 1)
"""
"""Query of the keys of videos that begin where another one does."""


class Entry(NamedTuple):
    """One entry: its columns in the table. `value` is what is written, as JSON; `commas` tells that its cells may have
    a decimal comma; `start` is a digest of where the video begins; `day_text` is a `created_at` that is a day alone."""

    key: str
    file: str
    n: int
    line: int
    account: str
    provider: str
    again: bool
    was: str | None
    branch_of: str | None
    start: str
    created_ms: int | None
    day_line: int | None
    day_text: str | None
    value: str
    commas: bool


class File(NamedTuple):
    """One file: its name, the digest of its bytes, its images, and the `defaults` that it gives."""

    file: str
    content: str
    on_change: str | None
    defaults_line: int
    images: Sequence[ImageFile]


def _marks(count: int) -> str:
    return ", ".join("?" * count)


_ADD_ENTRY: Final = f"INSERT INTO entries VALUES ({_marks(len(Entry._fields))})"  # noqa: S608 - numbers of marks only


class _Rows:
    """The rows of a snapshot that is open. Safe to use from several threads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = Lock()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def files(self) -> list[File]:
        """Return the files, in their order."""
        images: dict[str, list[ImageFile]] = {}
        for file, written, path, mark, sha256 in self.rows("SELECT * FROM images ORDER BY file, written"):
            known = json.loads(mark)
            image = ImageFile(written, path, None if known is None else tuple(known), sha256)
            images.setdefault(file, []).append(image)
        query = "SELECT file, content, on_change, defaults_line FROM files ORDER BY position"
        return [
            File(file, content, on_change, line, images.get(file, ()))
            for file, content, on_change, line in self.rows(query)
        ]

    def entries(self, column: str, values: Iterable[str]) -> Iterator[Entry]:
        """Yield the entries with one of the values in a column, in no order."""
        wanted = list(dict.fromkeys(values))
        for first in range(0, len(wanted), _CHUNK):
            part = wanted[first : first + _CHUNK]
            query = f"SELECT * FROM entries WHERE {column} IN ({_marks(len(part))})"  # noqa: S608 - a column of ours
            yield from map(Entry._make, self.rows(query, part))


class Snapshot(_Rows):
    """A whole snapshot."""

    def __init__(self, path: Path) -> None:
        """Open a file for reading. Raises sqlite3.Error if it is none."""
        super().__init__(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False))
        self.meta: Mapping[str, str] = dict(self.rows("SELECT name, value FROM meta"))
        if self.meta.get("form") != FORM:
            raise sqlite3.DatabaseError("another form")

    def copy(self, path: Path) -> None:
        """Write the snapshot to a new file. Raises sqlite3.Error."""
        with self._lock, closing(sqlite3.connect(path)) as target:
            self._connection.backup(target)


class NewSnapshot(_Rows):
    """A snapshot that is being written, at a path of its own."""

    def __init__(self, path: Path, *, like: Snapshot | None = None) -> None:
        """Begin an empty file, or a copy of another. Raises OSError and sqlite3.Error."""
        path.touch(mode=0o600, exist_ok=False)
        self.path = path
        if like is not None:
            like.copy(path)
        super().__init__(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        # no other process reads it before it is whole
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("BEGIN")
        if like is None:
            for statement in _TABLES.split(";"):
                self._connection.execute(statement)

    def remove(self, files: Collection[str]) -> None:
        """Remove files with their entries."""
        names = [(file,) for file in files]
        self._connection.executemany("DELETE FROM entries WHERE file = ?", names)
        self._connection.executemany("DELETE FROM images WHERE file = ?", names)
        self._connection.executemany("DELETE FROM files WHERE file = ?", names)

    def add(self, file: File, entries: Iterable[Entry]) -> None:
        """Add a file with its entries. Raises sqlite3.IntegrityError for a key that is there."""
        row = (file.file, 0, file.content, file.on_change, file.defaults_line)
        self._connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", row)
        images = [(file.file, i.written, i.path, json.dumps(i.mark), i.sha256) for i in file.images]
        self._connection.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?)", images)
        self._connection.executemany(_ADD_ENTRY, entries)

    def order(self, files: Sequence[str]) -> None:
        """Set the order of the files."""
        self._connection.executemany("UPDATE files SET position = ? WHERE file = ?", list(enumerate(files)))

    def finish(self, meta: Mapping[str, str]) -> None:
        """Write what holds for all files, and close the file."""
        self._connection.execute("DELETE FROM meta")
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", [("form", FORM), *meta.items()])
        self._connection.execute("COMMIT")
        self._connection.close()

    def discard(self) -> None:
        """Close and remove the file."""
        with suppress(sqlite3.Error):
            self._connection.close()
        self.path.unlink(missing_ok=True)
