"""Replace the published file by a copy of the staging file, so that a reader finds the old one or the new one."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from extend_pipeline.base.disk import free_bytes, sync_folder
from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.warehouse import staging_db
from extend_pipeline.warehouse.errors import PublishError
from extend_pipeline.warehouse.read import reading

BYTES_AT_A_TIME: Final = 1 << 20


@contextmanager
def copied_early(target: Path, *, work: Path) -> Iterator[None]:
    """Copy the staging file while the block changes it, because each takes a third of a publish of a million attempts;
    `replace` makes the copy equal to it. Copies nothing where that could take the disk space that the changes need."""
    copy = _copy_of(target)
    staging_db.remove(copy)  # left by a publisher that was killed; only one runs at a time
    size = work.stat().st_size if work.exists() else 0
    if not 0 < 2 * size < (free_bytes(target.parent) or 0):
        yield
        return
    try:
        # the staging file is closed after DuckDB has closed it, because a close ends the process's locks on a file
        with work.open("rb", buffering=0) as source, _open_copy(copy) as out, ThreadPoolExecutor(1) as thread:
            copied = thread.submit(_write_all, out, source)
            yield
            copied.result()
    except BaseException:
        staging_db.remove(copy)
        raise


def replace(target: Path, *, work: Path, now_ms: int, thorough: bool) -> int:
    """Make the copy equal to the staging file, verify and rename it, and fsync its folder. Return its size in bytes.
    Raises PublishError, OSError.

    The copy is compared byte by byte; a `thorough` check also reads every value, which shows damage of
    the staging file by its checksums and takes seconds for a million attempts.
    """
    copy = _copy_of(target)
    try:
        if (wal := work.with_name(work.name + ".wal")).exists():
            raise PublishError(f"{wal} is still there after a checkpoint; another program seems to write to {work}")
        _make_equal(copy, work)
        if thorough:
            _verify(copy)
        failpoint("publish.before_rename")
        _move_wal_away(target, now_ms=now_ms)
        copy.replace(target)
    except BaseException:
        staging_db.remove(copy)
        raise
    sync_folder(target.parent)
    failpoint("publish.after_rename")
    return target.stat().st_size


def _copy_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def _open_copy(copy: Path) -> FileIO:
    return os.fdopen(os.open(copy, os.O_CREAT | os.O_RDWR, 0o600), "r+b", buffering=0)


def _write_all(out: FileIO, source: FileIO) -> None:
    part = bytearray(BYTES_AT_A_TIME)  # kept: a new one a megabyte costs as much as reading
    while size := source.readinto(part):
        _write(out, part, size)
    os.fsync(out.fileno())  # so that the disk has most of it by the time of the last one


def _write(out: FileIO, part: bytearray, size: int) -> None:
    with memoryview(part) as left:
        written = 0
        while written < size:
            written += out.write(left[written:size])


def _make_equal(copy: Path, work: Path) -> None:
    """Write the parts in which a copy differs, and fsync it. Each is read again after it was written. Raises
    PublishError if one still differs, OSError."""
    wanted, found = bytearray(BYTES_AT_A_TIME), bytearray(BYTES_AT_A_TIME)
    with work.open("rb", buffering=0) as source, _open_copy(copy) as out:
        out.truncate(work.stat().st_size)
        at = 0
        while size := source.readinto(wanted):
            del wanted[size:], found[size:]  # of the last part
            if not _reads(out, found, wanted):
                out.seek(at)
                _write(out, wanted, size)
                out.seek(at)
                if not _reads(out, found, wanted):
                    raise PublishError(f"the copy of {work} differs from it; is the disk faulty?")
            at += size
        os.fsync(out.fileno())


def _reads(copy: FileIO, found: bytearray, wanted: bytearray) -> bool:
    """Read the next part of a copy into `found`; return whether it is what is wanted, to the last byte."""
    return copy.readinto(found) == len(wanted) and found == wanted


def _verify(copy: Path) -> None:
    """Read every value of the copy, so that DuckDB's checksums show damage. The staging file has the same bytes."""
    with reading(copy) as connection:
        staging_db.storage_version(connection)
        staging_db.read_all(connection)


def _move_wal_away(target: Path, *, now_ms: int) -> None:
    """Rename a log beside the published file. A program that wrote to the file left it, and DuckDB would replay it into
    the new file."""
    wal = target.with_name(target.name + ".wal")
    if wal.exists():
        wal.replace(wal.with_name(f"{wal.name}.stale-{now_ms}"))
