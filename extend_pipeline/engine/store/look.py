"""Compares the media store with the files that the ledger expects there, by names and lengths, some folders at a time:
as many as hold about a thousand files, at least one.

Memory is bounded by the files of those folders (1/256 of all, or some thousand) and those that are missing. Whether a
file that is gone was deleted, or the whole store is not mounted, is decided by `doubt_about_store`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.wording import counted
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import Cause, ExpectedFile, FileKey, FileTuple, MissingFileRow, Role
from extend_pipeline.media.store import FOLDERS, ListedFilm

MANY: Final = 100  # files: more than that, and more than half of all, are not deleted one by one
EXAMPLES: Final = 5  # unknown files that are named
AT_A_TIME: Final = 1_000  # files that are compared in one go, where a folder doesn't hold more


@dataclass
class StoreLook:
    """What one look found. `expected` and `gone` count what nobody knew to be missing; `back` holds missing files
    that are there again, `open` those that are still missing, lost or forgotten."""

    marked: bool
    folder_there: bool
    expected: int = 0
    gone: list[tuple[ExpectedFile, Cause]] = field(default_factory=list)
    back: list[tuple[ExpectedFile, MissingFileRow]] = field(default_factory=list)
    open: list[MissingFileRow] = field(default_factory=list)
    unknown: int = 0
    unknown_bytes: int = 0
    unknown_paths: list[str] = field(default_factory=list)

    @property
    def doubt(self) -> str:
        """Return why the store seems to be another one than the ledger's; empty where it is ours."""
        return doubt_about_store(
            marked=self.marked,
            folder_there=self.folder_there,
            expected=self.expected,
            gone=len(self.gone),
            unknown=self.unknown,
        )


def doubt_about_store(*, marked: bool, folder_there: bool, expected: int, gone: int, unknown: int) -> str:
    """Decide whether files that are gone were deleted from our store, or the store itself is not there.

    A marked folder is ours: what is gone from it was deleted. It is doubted all the same where more than half of many
    files are gone at once, or where it holds films, but none of those that the ledger knows. A folder without the mark
    is doubted unless it holds at least half of the files.
    """
    if not gone:
        return ""
    held = f"it holds {expected - gone} of the {expected} files that the ledger knows"
    if not folder_there:
        return f"the folder does not exist; the ledger knows {counted(expected, 'file')} in it"
    if marked and gone == expected and unknown:
        return f"{held}, and {counted(unknown, 'other')}: it seems to be the store of another home"
    if not marked and 2 * gone > expected:
        return f"{held}: it is not mounted, or another folder, or it was emptied"
    if gone > MANY and 2 * gone > expected:
        return f"{held}: it was emptied, or a part of it is not mounted"
    return ""


def look(pipeline: Pipeline) -> StoreLook:
    """Look at the whole store; writes nothing. OSError where a folder can't be read."""
    store = pipeline.store
    found = StoreLook(store.mark() is not None, store.is_there())
    with pipeline.ledger.read() as connection:
        known = files.found_missing(connection, states=(*files.OPEN, "forgotten"))
    missing = {file.key: file for file in known}
    start, width = 0, 1
    while folders := FOLDERS[start : start + width]:
        # the ledger first: what is stored after that is in the listing too. And short reads, since on SQLite nobody
        # commits while somebody reads
        with pipeline.ledger.read() as connection:
            expected = list(files.rows_in(connection, folders[0], folders[-1]))
        there = {name: film for folder in folders for name, film in store.films_in(folder).items()}
        _compare_folders(found, expected, there, missing)
        start += width
        width = width * 4 if len(expected) * 4 <= AT_A_TIME else max(1, width // 4)
    again = {file.key for _, file in found.back}
    found.open = [file for key, file in missing.items() if key not in again]
    return found


def _compare_folders(
    found: StoreLook,
    expected: Sequence[tuple[Role, FileTuple]],
    there: Mapping[str, ListedFilm],
    missing: Mapping[FileKey, MissingFileRow],
) -> None:
    names: set[str] = set()
    for role, row in expected:
        _, _, _, _, path, _, stored_bytes = row  # by names it takes twice as long
        names.add(path)
        size = there[path].bytes if path in there else None
        if not missing and size and (stored_bytes is None or stored_bytes == size):
            found.expected += 1  # as nearly all are; making values of them would take half of the time
            continue
        file = files.expected_file(role, row)
        _compare(found, file, size, missing.get(file.key))
    for path in there.keys() - names:
        found.unknown += 1
        found.unknown_bytes += there[path].bytes
        if len(found.unknown_paths) < EXAMPLES:
            found.unknown_paths.append(path)


def _compare(found: StoreLook, file: ExpectedFile, size: int | None, known: MissingFileRow | None) -> None:
    cause = None
    if size is None:
        cause = Cause.GONE
    elif size == 0 or (file.bytes is not None and size != file.bytes):
        cause = Cause.CUT
    if known is None:
        found.expected += 1
        if cause is not None:
            found.gone.append((file, cause))
    elif cause is None and known.cause is not Cause.DAMAGED:  # its hash is looked at by `doctor --deep`
        found.back.append((file, known))
