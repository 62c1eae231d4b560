"""Publish the warehouse: apply the ledger's changes to the staging file, and replace the published file by a
copy."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline.base.days import UTC_ZONE, day_of
from extend_pipeline.base.private import make_private_folder
from extend_pipeline.base.units import to_ms
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse import atomic_replace, definitions, staging_db
from extend_pipeline.warehouse.errors import PublishError, WarehouseError
from extend_pipeline.warehouse.ledger_changes import Mark, head, read_changes
from extend_pipeline.warehouse.read import meta

_MAX_NOTES: Final = 1_000  # characters of what the lock's file holds

_InPlace = tuple[Mark, int]
"""A published file's mark, and when it was published (UTC ms)."""


@dataclass(frozen=True, slots=True)
class Published:
    """A new file is published. `rows` are the rows written, by table; `rebuilt` is why the staging file was rebuilt, if
    it was."""

    ledger_seq: int
    rows: Mapping[str, int]
    rebuilt: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class AlreadyFresh:
    """The published file is up to date with the ledger."""

    ledger_seq: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Another process is publishing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """When the last publish began (UTC ms), and how long it took."""

    began_ms: int
    took_ms: int


def publish(ledger: Ledger, *, target: Path, work: Path, now_ms: int) -> Published | AlreadyFresh | Busy:
    """Update the published file from the ledger; costs the changes, a copy of the file, and once a day a check of it.

    `work` is the private staging file; if it is lost, it is rebuilt from the ledger. Raises PublishError, and then
    leaves the published file unchanged.
    """
    try:
        for folder in (target.parent, work.parent):
            make_private_folder(folder)
        with _only_publisher(work) as lock:
            if lock is None:
                return Busy()
            began_s = time.monotonic()
            with ledger.read() as connection:
                newest = head(connection)
            in_place = _published(target, lock)
            if in_place is not None and in_place[0] == newest:
                return AlreadyFresh(newest.seq)
            published, reached = _publish(ledger, target=target, work=work, now_ms=now_ms, in_place=in_place)
            took_ms = round((time.monotonic() - began_s) * 1000)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{now_ms} {took_ms} {_stamp(target)} {reached.seq} {reached.event}".encode(), 0)
            return published
    except OSError as error:
        raise PublishError(_failed(target, error)) from error


def last_cost(work: Path) -> Cost | None:
    """Return what the last publish cost; None if it isn't known. Any process may ask, also while one publishes."""
    try:
        began_ms, took_ms = map(int, _lock_of(work).read_text(encoding="ascii").split()[:2])
    except (OSError, ValueError):
        return None
    return Cost(began_ms, took_ms)


def _publish(
    ledger: Ledger, *, target: Path, work: Path, now_ms: int, in_place: _InPlace | None
) -> tuple[Published, Mark]:
    import duckdb

    rebuilt = None
    if not work.exists():
        staging_db.remove(work)  # because DuckDB would replay a log without its file into the new file
        rebuilt = "there was no staging file"
    try:
        return _make(ledger, target=target, work=work, now_ms=now_ms, in_place=in_place, rebuilt=rebuilt)
    except (duckdb.Error, WarehouseError) as error:
        if rebuilt is not None:
            raise PublishError(_failed(target, error)) from error
        rebuilt = _first_line(error)
    staging_db.remove(work)
    try:
        return _make(ledger, target=target, work=work, now_ms=now_ms, in_place=in_place, rebuilt=rebuilt)
    except (duckdb.Error, WarehouseError) as error:
        raise PublishError(_failed(target, error)) from error


def _make(
    ledger: Ledger, *, target: Path, work: Path, now_ms: int, in_place: _InPlace | None, rebuilt: str | None
) -> tuple[Published, Mark]:
    with atomic_replace.copied_early(target, work=work):
        reached, rows, thorough = _bring_up(ledger, work, now_ms=now_ms, in_place=in_place)
    size = atomic_replace.replace(target, work=work, now_ms=now_ms, thorough=thorough)
    return Published(reached.seq, rows, rebuilt, bytes=size), reached


def _bring_up(
    ledger: Ledger, work: Path, *, now_ms: int, in_place: _InPlace | None
) -> tuple[Mark, dict[str, int], bool]:
    """Apply the ledger's changes to the staging file, and checkpoint. Return the mark, the rows written by table, and
    whether the file is due for a thorough check: the first of a day, and one with changes of a publish that failed.
    Raises InvalidStagingFile, duckdb.Error."""
    with staging_db.opened(work) as connection:
        before = staging_db.mark(connection)
        mark, at_ms = in_place or (None, 0)
        thorough = mark != before or day_of(at_ms, UTC_ZONE) != day_of(now_ms, UTC_ZONE)
        reached, written = staging_db.apply(connection, read_changes(ledger, after=before), now_ms=now_ms)
        connection.execute("CHECKPOINT warehouse")
    return reached, written, thorough


def _published(target: Path, lock: int) -> _InPlace | None:
    """Return the mark and the time of the published file; None if it can't be read, or has another schema. Where it is
    the file that the last publish left, both are in the lock's file, and DuckDB isn't loaded."""
    match os.pread(lock, _MAX_NOTES, 0).decode(errors="replace").split(" "):
        case [began_ms, _, stamp, seq, event] if stamp == _stamp(target):
            return Mark(int(seq), event), int(began_ms)
    try:
        about = meta(target)
    except WarehouseError:
        return None
    if about is None or about.schema_version != definitions.schema_version():
        return None
    return Mark(about.ledger_seq, about.ledger_event), to_ms(about.published_at)


def _stamp(target: Path) -> str:
    """Return what distinguishes a published file from every other, of another schema too; empty if there is none."""
    try:
        of = target.stat()
    except FileNotFoundError:
        return ""
    return f"{definitions.schema_version()}:{of.st_ino}:{of.st_size}:{of.st_mtime_ns}:{of.st_ctime_ns}"


def _failed(target: Path, error: Exception) -> str:
    return (
        f"{target} could not be published: {_first_line(error)}. The published file is unchanged. "
        "Check the free space and the permissions of its folder; `extend-pipeline doctor` checks the ledger."
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _lock_of(work: Path) -> Path:
    return work.with_name(work.name + ".lock")


@contextmanager
def _only_publisher(work: Path) -> Iterator[int | None]:
    """Yield the descriptor of the publisher's lock, which holds the last publish's cost; None if another process has
    it, without waiting. The kernel releases it when the process dies."""
    descriptor = os.open(_lock_of(work), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)
