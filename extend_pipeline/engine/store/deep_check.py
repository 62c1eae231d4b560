"""Verify the bytes of every file that the ledger expects in the media store, and record those that have changed.

The position is saved in the state folder before each folder of the store, so that an interrupted check continues there.
Memory is bounded by one folder.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.private import open_private
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import Cause, ExpectedFile
from extend_pipeline.media.store import FOLDERS, MediaRef

_POSITION: Final = "deep-check"


@dataclass
class DeepCheck:
    """The progress of the check. `first_folder` is the one from which it continued, empty where it
    began with the first of all."""

    first_folder: str = ""
    folder: str = ""
    files: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def check_deeply(pipeline: Pipeline, *, on_progress: Callable[[DeepCheck], None] = lambda _: None) -> DeepCheck:
    """Hash the files in the store; call `on_progress` after each file. Missing files are left to `look`."""
    position = pipeline.settings.state_dir / _POSITION
    start = position.read_text(encoding="utf-8").strip() if position.is_file() else ""
    progress = DeepCheck(first_folder=start if start in FOLDERS[1:] else "")
    for folder in FOLDERS[FOLDERS.index(progress.first_folder) if progress.first_folder else 0 :]:
        progress.folder = folder
        with open_private(position, "w") as position_file:
            position_file.write(folder)
        with pipeline.ledger.read() as connection:
            expected_files = [files.expected_file(role, row) for role, row in files.rows_in(connection, folder, folder)]
        for file in expected_files:
            _check(pipeline, file, progress)
            on_progress(progress)
    position.unlink(missing_ok=True)
    return progress


def _check(pipeline: Pipeline, expected: ExpectedFile, progress: DeepCheck) -> None:
    try:
        with pipeline.store.local(MediaRef.parse(expected.path)) as path, path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            progress.bytes += file.tell()
    except FileNotFoundError:
        return
    except OSError as error:
        progress.unreadable.append(f"{expected.path}: {error.strerror or error}")
        return
    progress.files += 1
    if sha256 != expected.sha256:
        progress.damaged.append(expected.path)
    with pipeline.ledger.read() as connection:
        state = files.state_of_file(connection, expected.key)
    if (sha256 == expected.sha256) is (state not in files.OPEN):
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        if sha256 == expected.sha256:
            files.record_restored(tx, expected.key, expected, "the file is valid")
        else:
            files.record_missing(tx, expected, Cause.DAMAGED)
