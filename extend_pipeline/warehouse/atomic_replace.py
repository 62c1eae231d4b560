"""Replace the published file by a copy of the staging file, so that a reader finds the old one or the new one."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from extend_pipeline.base.disk import sync_folder
from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.warehouse import staging_db
from extend_pipeline.warehouse.errors import PublishError
from extend_pipeline.warehouse.read import reading

BYTES_AT_A_TIME: Final = 1 << 20


def replace(target: Path, *, work: Path, now_ms: int, thorough: bool) -> int:
    """Copy, verify, fsync and rename the file, then fsync its folder. Return its size in bytes. Raises PublishError,
    OSError.

    The copy is compared byte by byte; a `thorough` check also reads every value, which shows damage of
    the staging file by its checksums and takes seconds for a million attempts.
    """
    temporary = target.with_name(f".{target.name}.new")
    staging_db.remove(temporary)  # left by a publisher that was killed; only one runs at a time
    try:
        _copy(work, temporary)
        if thorough:
            _verify(temporary)
        failpoint("publish.before_rename")
        _move_wal_away(target, now_ms=now_ms)
        temporary.replace(target)
    except BaseException:
        staging_db.remove(temporary)
        raise
    sync_folder(target.parent)
    failpoint("publish.after_rename")
    return target.stat().st_size


def _copy(work: Path, temporary: Path) -> None:
    if (wal := work.with_name(work.name + ".wal")).exists():
        raise PublishError(f"{wal} is still there after a checkpoint; another program seems to write to {work}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    # compared while the disk writes, because each takes a third of replacing a file of a million attempts
    with os.fdopen(descriptor, "wb") as out, ThreadPoolExecutor(max_workers=1) as thread:
        shutil.copyfile(work, temporary)  # by the kernel
        on_disk = thread.submit(os.fsync, out.fileno())
        is_same = _same_bytes(work, temporary)
        on_disk.result()
    if not is_same:
        raise PublishError(f"the copy of {work} differs from it; is the disk faulty?")


def _same_bytes(one: Path, other: Path) -> bool:
    parts = bytearray(BYTES_AT_A_TIME), bytearray(BYTES_AT_A_TIME)  # kept: new ones a megabyte cost as much as reading
    with one.open("rb", buffering=0) as left, other.open("rb", buffering=0) as right:
        while (size := left.readinto(parts[0])) == right.readinto(parts[1]):
            if parts[0] != parts[1]:
                return False
            if not size:
                return True
    return False


def _verify(temporary: Path) -> None:
    """Read every value of the copy, so that DuckDB's checksums show damage. The staging file has the same bytes."""
    with reading(temporary) as connection:
        staging_db.storage_version(connection)
        staging_db.read_all(connection)


def _move_wal_away(target: Path, *, now_ms: int) -> None:
    """Rename a log beside the published file. A program that wrote to the file left it, and DuckDB would replay it into
    the new file."""
    wal = target.with_name(target.name + ".wal")
    if wal.exists():
        wal.replace(wal.with_name(f"{wal.name}.stale-{now_ms}"))
