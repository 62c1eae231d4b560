"""The files that the ledger expects in the media store, and those that were found missing there.

A file has an owner and a role: the `result` and the assembled `film` of an attempt (owner: its id), the `source` of a
video (owner: its key). A stored attempt stays `stored` when its file is gone, because its payment and its result do not
change. The missing file is a row of `missing_files`, with one of these states:

    missing   it is fetched, or assembled, again
    lost      its provider no longer has it; an operator may put it back, or have it forgotten
    restored  it is in the store again
    forgotten an operator has acknowledged the loss; it is no longer reported
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Text, bindparam, func, literal_column, null, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.queries import among
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions

# literally as in the indexes, because with bound numbers SQLite would read the whole table for each folder
_file_folder: Final = literal_column("substr(attempts.sha256, 1, 2)", Text)
_film_folder: Final = literal_column("substr(attempts.film_sha256, 1, 2)", Text)
_source_folder: Final = literal_column("substr(videos.source_sha256, 1, 2)", Text)

OPEN: Final = ("missing", "lost")
"""States of a file that are reported to the operator."""


class Role(StrEnum):
    """The role of a file for its owner."""

    RESULT = "result"
    FILM = "film"
    SOURCE = "source"


class Cause(StrEnum):
    """Why a file counts as missing."""

    GONE = "gone"
    CUT = "cut"  # another length than was stored
    DAMAGED = "damaged"  # the bytes have another hash
    NOT_MADE = "not_made"  # a film whose parent's file was missing when its new part came


@dataclass(frozen=True, slots=True)
class FileKey:
    """The key of one file: an attempt's id or a video's key, and the role."""

    owner: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFile:
    """A file that should be in the store. `bytes` is None if the ledger doesn't record the length."""

    key: FileKey
    video_key: str
    hop: int | None
    account: str
    path: str
    sha256: str
    bytes: int | None


FileTuple = tuple[str, str, int | None, str, str, str, int | None]
"""Owner, video, hop, account, path, SHA-256 and bytes of a file: a plain tuple, because the whole store is compared
with them."""


@dataclass(frozen=True, slots=True)
class MissingFileRow:
    """A file that was found missing, damaged or not made, and when (UTC ms). For a result, `expires_at` is until when
    its provider keeps it (UTC ms), and `note` is the message of the last fetch."""

    owner: str
    role: Role
    video_key: str
    hop: int | None
    account: str
    path: str | None
    cause: Cause
    state: str
    since: int
    tries: int
    tried_at: int | None
    message: str
    expires_at: int | None
    note: str | None

    @property
    def where(self) -> str:
        """Return VIDEO/HOP, or for a source its video."""
        return self.video_key if self.hop is None else f"{self.video_key}/{self.hop}"

    @property
    def key(self) -> FileKey:
        """Return the file's key."""
        return FileKey(self.owner, self.role)


def rows_in(connection: Connection, first: str, last: str) -> Iterator[tuple[Role, FileTuple]]:
    """Yield the files that should be in the store's folders from `first` to `last`. A folder is named by the first two
    digits of its files' hashes."""
    attempts, videos = tables.attempts.c, tables.videos.c
    # coalesce keeps SQLite from the state's index, which it would read to the end for each folder
    stored = func.coalesce(attempts.state, "") == AttemptState.STORED.value
    owner_columns = (attempts.attempt_id.label("owner"), attempts.video_key, attempts.hop, attempts.account)
    results = select(*owner_columns, attempts.path, attempts.sha256, attempts.bytes)
    films = select(
        *owner_columns, attempts.film_path.label("path"), attempts.film_sha256.label("sha256"), null().label("bytes")
    )
    sources = select(
        videos.video_key.label("owner"),
        videos.video_key,
        null().label("hop"),
        videos.account,
        videos.source_path.label("path"),
        videos.source_sha256.label("sha256"),
        null().label("bytes"),
    )
    for role, query in (
        (Role.RESULT, results.where(_file_folder.between(first, last), stored)),
        (Role.FILM, films.where(_film_folder.between(first, last), stored)),
        (Role.SOURCE, sources.where(_source_folder.between(first, last))),
    ):
        for row in connection.execute(query).tuples().all():
            yield role, row


_HASHES: Final = tuple(
    select(column).where(folder == bindparam("folder"))
    for column, folder in (
        (tables.attempts.c.sha256, _file_folder),
        (tables.attempts.c.film_sha256, _film_folder),
        (tables.videos.c.source_sha256, _source_folder),
    )
)


def hashes_in(connection: Connection, folder: str) -> set[str]:
    """Return the hashes of the files in a folder of the store that the ledger has, of attempts in any state."""
    return {sha256 for query in _HASHES for sha256 in connection.execute(query, {"folder": folder}).scalars()}


def expected_file(role: Role, row: FileTuple) -> ExpectedFile:
    """Return a row of `rows_in` as a value."""
    owner, video_key, hop, account, path, sha256, length = row
    return ExpectedFile(
        key=FileKey(owner, role),
        video_key=video_key,
        hop=hop,
        account=account,
        path=path,
        sha256=sha256,
        bytes=length,
    )


_OfVideo = AttemptRow | MissingFileRow | ExpectedFile
_OWN_COLUMNS: Final = tuple(name for name in MissingFileRow.__slots__ if name not in ("expires_at", "note"))


_MISSING: Final = tables.missing_files.c
_IS_RESULT: Final = _MISSING.role == Role.RESULT.value
_FOUND_MISSING: Final = (
    select(*(_MISSING[name] for name in _OWN_COLUMNS), tables.attempts.c.expires_at, tables.schedule.c.note)
    .outerjoin(tables.attempts, (tables.attempts.c.attempt_id == _MISSING.owner) & _IS_RESULT)
    .outerjoin(tables.schedule, (tables.schedule.c.attempt_id == _MISSING.owner) & _IS_RESULT)
    .where(among(_MISSING.state), _MISSING.state != "restored")
    .order_by(_MISSING.video_key, _MISSING.hop, _MISSING.role)
)
_STATE: Final = select(_MISSING.state).where(_MISSING.owner == bindparam("owner"), _MISSING.role == bindparam("role"))
_WITHOUT_FILE: Final = select(_MISSING.owner).where(
    _MISSING.state.in_(OPEN), _MISSING.state != "restored", _MISSING.role != Role.SOURCE.value
)


def any_stored(connection: Connection) -> bool:
    """Return whether any result was ever stored."""
    table = tables.attempts
    query = select(table.c.attempt_id).where(table.c.state == AttemptState.STORED.value).limit(1)
    return connection.execute(query).first() is not None


def found_missing(connection: Connection, *, states: Sequence[str] = OPEN) -> list[MissingFileRow]:
    """Return the missing files in the states, by video and hop. The cost depends on the number of missing files
    only."""
    rows = connection.execute(_FOUND_MISSING, {"among": list(states)})
    return [
        MissingFileRow(owner, Role(role), video_key, hop, account, path, Cause(cause), *others)
        for owner, role, video_key, hop, account, path, cause, *others in rows
    ]


def state_of_file(connection: Connection, key: FileKey) -> str | None:
    """Return the state of a file that was ever found missing; None for any other."""
    return connection.execute(_STATE, {"owner": key.owner, "role": key.role.value}).scalar()


def without_file(connection: Connection) -> frozenset[str]:
    """Return the ids of attempts whose film, or whose result if it is the film, is missing or lost. The cost depends on
    the number of missing files only."""
    return frozenset(connection.execute(_WITHOUT_FILE).scalars())


def record_missing(tx: LedgerTransaction, file: ExpectedFile, cause: Cause) -> None:
    """Record that a file is missing from the store, and make a missing result due. No event is written if that is
    known."""
    _record_missing(tx, file.key, file, cause, path=file.path)
    if file.key.role is Role.RESULT:
        fetch_again(tx, file.key.owner, account=file.account)


def fetch_again(tx: LedgerTransaction, attempt_id: str, *, account: str) -> None:
    """Make a stored result due whose file is missing."""
    transitions.schedule(tx, attempt_id, account=account, due_at=tx.now_ms, while_in=(AttemptState.STORED,))


def record_not_made(tx: LedgerTransaction, attempt: AttemptRow) -> None:
    """Record that the film of an attempt could not be assembled, because its parent's file is missing."""
    _record_missing(tx, FileKey(attempt.attempt_id, Role.FILM), attempt, Cause.NOT_MADE, path=None)


def _record_missing(
    tx: LedgerTransaction, key: FileKey, of: AttemptRow | ExpectedFile, cause: Cause, *, path: str | None
) -> None:
    if state_of_file(tx.connection, key) not in (*OPEN, "forgotten"):
        _append(tx, "file_missing", key, of, hop=of.hop, path=path, cause=cause.value)


def record_not_restored(tx: LedgerTransaction, file: MissingFileRow, message: str) -> None:
    """Record why a try to restore a file failed. The wait until the next try follows from the number of tries."""
    _append(tx, "file_not_restored", file.key, file, message=message)


def record_restored(tx: LedgerTransaction, key: FileKey, of: _OfVideo, message: str) -> None:
    """Record that a missing or lost file is in the store again. A result is no longer due then."""
    if state_of_file(tx.connection, key) in (*OPEN, "forgotten"):
        _append(tx, "file_restored", key, of, message=message)
    if key.role is Role.RESULT:
        transitions.unschedule(tx, key.owner)


def record_lost(tx: LedgerTransaction, key: FileKey, of: _OfVideo, message: str) -> None:
    """Record that a missing file can't be fetched any more."""
    if state_of_file(tx.connection, key) == "missing":
        _append(tx, "file_lost", key, of, message=message)


def record_forgotten(tx: LedgerTransaction, file: MissingFileRow) -> None:
    """Record that a lost file need not be reported any more, by an operator's decision."""
    if state_of_file(tx.connection, file.key) == "lost":
        _append(tx, "file_forgotten", file.key, file)


def _append(tx: LedgerTransaction, kind: str, key: FileKey, of: _OfVideo, **data: str | int | None) -> None:
    data |= {"owner": key.owner, "role": key.role.value}
    attempt_id = None if key.role is Role.SOURCE else key.owner
    tx.append(kind, attempt_id=attempt_id, video_key=of.video_key, account=of.account, data=data)
