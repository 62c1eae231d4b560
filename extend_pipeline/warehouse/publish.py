"""Publishes the warehouse: the ledger's changes into the working file, and a copy of that into the readers' place."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from extend_pipeline.base.private import make_private_folder
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse import atomic_replace, definitions, staging_db
from extend_pipeline.warehouse.errors import PublishError, WarehouseError
from extend_pipeline.warehouse.ledger_changes import Diverged, Mark, head, read_changes
from extend_pipeline.warehouse.read import meta


@dataclass(frozen=True, slots=True)
class Published:
    """A new file is in place. `rows` were written by table; `rebuilt` says why it was made from zero, if it was."""

    ledger_seq: int
    rows: Mapping[str, int]
    rebuilt: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class AlreadyFresh:
    """The published file holds everything that the ledger does."""

    ledger_seq: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Another process is publishing."""


def publish(ledger: Ledger, *, target: Path, work: Path, now_ms: int) -> Published | AlreadyFresh | Busy:
    """Bring the published file up to the ledger; costs what changed, and a copy of the file.

    `work` is a private file that may be lost: it is made anew from the ledger. Raises PublishError; what was published
    before stays in place then.
    """
    try:
        for folder in (target.parent, work.parent):
            make_private_folder(folder)
        with _only_publisher(work) as mine:
            if not mine:
                return Busy()
            with ledger.read() as connection:
                newest = head(connection)
            if _published(target) == newest:
                return AlreadyFresh(newest.seq)
            return _publish(ledger, target=target, work=work, now_ms=now_ms)
    except OSError as error:
        raise PublishError(_failed(target, error)) from error


def _publish(ledger: Ledger, *, target: Path, work: Path, now_ms: int) -> Published:
    import duckdb

    rebuilt = None
    if not work.exists():
        staging_db.remove(work)  # a log without its file is of no use, and DuckDB would take it for the new one's
        rebuilt = "there was no working file"
    try:
        return _make(ledger, target=target, work=work, now_ms=now_ms, rebuilt=rebuilt)
    except (duckdb.Error, WarehouseError) as error:
        if rebuilt is not None:
            raise PublishError(_failed(target, error)) from error
        rebuilt = _first_line(error)
    staging_db.remove(work)
    try:
        return _make(ledger, target=target, work=work, now_ms=now_ms, rebuilt=rebuilt)
    except (duckdb.Error, WarehouseError) as error:
        raise PublishError(_failed(target, error)) from error


def _make(ledger: Ledger, *, target: Path, work: Path, now_ms: int, rebuilt: str | None) -> Published:
    seq, rows = _bring_up(ledger, work, now_ms=now_ms)
    return Published(seq, rows, rebuilt, bytes=atomic_replace.replace(target, work=work, now_ms=now_ms))


def _bring_up(ledger: Ledger, work: Path, *, now_ms: int) -> tuple[int, dict[str, int]]:
    """Apply what the working file lacks, and checkpoint. Raises Unsound, duckdb.Error."""
    with staging_db.opened(work) as connection:
        changes = read_changes(ledger, after=staging_db.mark(connection))
        if isinstance(changes, Diverged):
            raise staging_db.Unsound(
                f"the ledger's event {changes.after.seq} is not the one that was published: it was restored or replaced"
            )
        written: dict[str, int] = {}
        if changes.head != changes.after or not changes.after.seq:
            written = staging_db.apply(connection, changes, now_ms=now_ms)
        connection.execute("CHECKPOINT warehouse")
    return changes.head.seq, written


def _published(target: Path) -> Mark | None:
    """Return what the published file holds; None where there is none that can be read, or one of another schema."""
    try:
        found = meta(target)
    except WarehouseError:
        return None
    if found is None or found.schema_version != definitions.schema_version():
        return None
    return Mark(found.ledger_seq, found.ledger_event)


def _failed(target: Path, error: Exception) -> str:
    return (
        f"{target} could not be published: {_first_line(error)}. What was published before is untouched. "
        "Check the free space and the permissions of its folder; `extend-pipeline doctor` checks the ledger."
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@contextmanager
def _only_publisher(work: Path) -> Iterator[bool]:
    """Hold the publisher's lock, or answer False at once. The kernel lets go of it when the process dies."""
    descriptor = os.open(work.with_name(work.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
