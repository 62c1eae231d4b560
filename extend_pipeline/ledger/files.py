"""The files that the ledger expects in the media store, and those that were found missing there.

A file has an owner and a role: the `result` and the assembled `film` of an attempt (owner: its id), the `source` of a
video (owner: its key). A stored attempt stays `stored` when its file is gone: what was paid for and what came doesn't
change by that. That the file is missing is a fact of its own, a row of `missing_files`:

    missing   it is fetched, or assembled, again
    lost      its provider has it no more; a person may put it back, or let it be forgotten
    restored  it is there again
    forgotten a person has been told, and wants to hear of it no more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, func, literal, null, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import Writer
from extend_pipeline.ledger.states import AttemptState

OPEN: Final = ("missing", "lost")
"""States of a file that a person should hear of."""


class Role(StrEnum):
    """What a file is to its owner."""

    RESULT = "result"
    FILM = "film"
    SOURCE = "source"


class Cause(StrEnum):
    """What was seen of a file that counts as missing."""

    GONE = "gone"
    CUT = "cut"  # another length than was stored
    DAMAGED = "damaged"  # the bytes have another hash
    NOT_MADE = "not_made"  # a film whose parent's file was missing when its new part came


@dataclass(frozen=True, slots=True)
class FileKey:
    """Names one file: an attempt's id or a video's key, and the role."""

    owner: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFile:
    """A file that should be in the store. `bytes` is None where the ledger doesn't keep the length."""

    key: FileKey
    video_key: str
    hop: int | None
    account: str
    path: str
    sha256: str
    bytes: int | None


def expected_in(connection: Connection, folder: str) -> list[ExpectedFile]:
    """The files that should be in one folder of the store, named by the first two digits of their hashes."""
    attempts, videos = tables.attempts, tables.videos
    stored = attempts.c.state == AttemptState.STORED.value
    whose = (attempts.c.attempt_id.label("owner"), attempts.c.video_key, attempts.c.hop, attempts.c.account)
    results = select(
        literal(Role.RESULT.value).label("role"), *whose, attempts.c.path, attempts.c.sha256, attempts.c.bytes
    ).where(func.substr(attempts.c.sha256, 1, 2) == folder, stored)
    films = select(literal(Role.FILM.value), *whose, attempts.c.film_path, attempts.c.film_sha256, null()).where(
        func.substr(attempts.c.film_sha256, 1, 2) == folder, stored
    )
    sources = select(
        literal(Role.SOURCE.value),
        videos.c.video_key,
        videos.c.video_key,
        null(),
        videos.c.account,
        videos.c.source_path,
        videos.c.source_sha256,
        null(),
    ).where(func.substr(videos.c.source_sha256, 1, 2) == folder)
    return [_expected(row) for query in (results, films, sources) for row in connection.execute(query)]


def _expected(row: Row[Any]) -> ExpectedFile:
    role, owner, video_key, hop, account, path, sha256, size = row
    return ExpectedFile(
        key=FileKey(owner, Role(role)),
        video_key=video_key,
        hop=hop,
        account=account,
        path=path,
        sha256=sha256,
        bytes=size,
    )


def any_stored(connection: Connection) -> bool:
    """Whether any paid file was ever stored."""
    table = tables.attempts
    query = select(table.c.attempt_id).where(table.c.state == AttemptState.STORED.value).limit(1)
    return connection.execute(query).first() is not None


def found_missing(connection: Connection, *, states: Sequence[str] = OPEN) -> list[Row[Any]]:
    """Rows of `missing_files` in the states, by video and hop; a result's with the attempt's `expires_at`, and with the
    `note` of the last try to fetch it. Costs what is missing."""
    table, attempts, schedule = tables.missing_files, tables.attempts, tables.schedule
    result = table.c.role == Role.RESULT.value
    query = (
        select(table, attempts.c.expires_at, schedule.c.note)
        .outerjoin(attempts, (attempts.c.attempt_id == table.c.owner) & result)
        .outerjoin(schedule, (schedule.c.attempt_id == table.c.owner) & result)
        .where(table.c.state.in_(list(states)), table.c.state != "restored")
        .order_by(table.c.video_key, table.c.hop, table.c.role)
    )
    return list(connection.execute(query))


def state_of_file(connection: Connection, key: FileKey) -> str | None:
    """Where a file stands that was ever found missing; None for one that never was."""
    table = tables.missing_files
    this = (table.c.owner == key.owner) & (table.c.role == key.role.value)
    return connection.execute(select(table.c.state).where(this)).scalar()


def without_file(connection: Connection) -> frozenset[str]:
    """Ids of attempts whose film, or whose result where that is the film, is missing or lost. Costs what is missing."""
    table = tables.missing_files
    query = select(table.c.owner).where(
        table.c.state.in_(OPEN), table.c.state != "restored", table.c.role != Role.SOURCE.value
    )
    return frozenset(connection.execute(query).scalars())


def missing(tx: Writer, file: ExpectedFile, cause: Cause) -> None:
    """Say that a file is not in the store as it should be. Nothing is said of one that is known to be missing."""
    _missing(tx, file.key, cause, video_key=file.video_key, hop=file.hop, account=file.account, path=file.path)


def not_made(tx: Writer, attempt: Row[Any]) -> None:
    """Say that the film of an attempt could not be assembled, since its parent's file is missing."""
    key = FileKey(attempt.attempt_id, Role.FILM)
    _missing(tx, key, Cause.NOT_MADE, video_key=attempt.video_key, hop=attempt.hop, account=attempt.account, path=None)


def _missing(
    tx: Writer, key: FileKey, cause: Cause, *, video_key: str, hop: int | None, account: str, path: str | None
) -> None:
    if state_of_file(tx.connection, key) in (*OPEN, "forgotten"):
        return
    data = {"owner": key.owner, "role": key.role.value, "hop": hop, "path": path, "cause": cause.value}
    tx.append("file_missing", attempt_id=_attempt(key), video_key=video_key, account=account, data=data)


def not_restored(tx: Writer, row: Row[Any], message: str) -> None:
    """Keep what a try to bring a file back said; how long until the next one follows from how many there were."""
    _append(tx, "file_not_restored", FileKey(row.owner, Role(row.role)), row, message=message)


def restored(tx: Writer, key: FileKey, row: Row[Any] | ExpectedFile, message: str) -> None:
    """Say that a file which was missing or lost is there again. `row` has `video_key` and `account`."""
    if state_of_file(tx.connection, key) in (*OPEN, "forgotten"):
        _append(tx, "file_restored", key, row, message=message)


def lost(tx: Writer, key: FileKey, row: Row[Any], message: str) -> None:
    """Say that a file which is missing can't be had any more."""
    if state_of_file(tx.connection, key) == "missing":
        _append(tx, "file_lost", key, row, message=message)


def forgotten(tx: Writer, row: Row[Any]) -> None:
    """Say that a person wants to hear no more of a file that is lost."""
    key = FileKey(row.owner, Role(row.role))
    if state_of_file(tx.connection, key) == "lost":
        _append(tx, "file_forgotten", key, row)


def _append(tx: Writer, kind: str, key: FileKey, row: Row[Any] | ExpectedFile, **data: str) -> None:
    data |= {"owner": key.owner, "role": key.role.value}
    tx.append(kind, attempt_id=_attempt(key), video_key=row.video_key, account=row.account, data=data)


def _attempt(key: FileKey) -> str | None:
    return None if key.role is Role.SOURCE else key.owner
