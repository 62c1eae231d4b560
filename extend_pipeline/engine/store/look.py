"""Compare the media store with the files that the ledger expects there, by names and lengths.

Some folders are compared at a time, with about a thousand files together, so that memory is bounded by the files of
those folders (1/256 of all, or some thousand) and the missing ones. `doubt_about_store` decides whether missing files
were deleted, or the whole store is not mounted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.wording import counted
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import Cause, ExpectedFile, FileKey, FileTuple, MissingFileRow, Role
from extend_pipeline.media.store import FOLDERS, ListedFilm

MANY: Final = 100  # more files than that, and more than half of all, are not deleted one by one
EXAMPLES: Final = 5  # unknown files that are named
AT_A_TIME: Final = 1_000  # files that are compared in one go, where a folder doesn't hold more


@dataclass
class StoreLook:
    """The result of one look. `expected` and `gone` cover the files that were not recorded as missing; `back` holds
    missing files that are there again, `still_missing` those that are not: missing, lost or forgotten. `next_folder` is
    where a look goes on that ended at its limit; None where it came to the end of the store."""

    marked: bool
    folder_exists: bool
    expected: int = 0
    gone: list[tuple[ExpectedFile, Cause]] = field(default_factory=list)
    back: list[tuple[ExpectedFile, MissingFileRow]] = field(default_factory=list)
    still_missing: list[MissingFileRow] = field(default_factory=list)
    unknown: int = 0
    unknown_bytes: int = 0
    unknown_paths: list[str] = field(default_factory=list)
    next_folder: int | None = None

    @property
    def doubt(self) -> str:
        """Return why the store seems not to be the ledger's; empty where it is."""
        return doubt_about_store(
            marked=self.marked,
            folder_exists=self.folder_exists,
            expected=self.expected,
            gone=len(self.gone),
            unknown=self.unknown,
        )


def doubt_about_store(*, marked: bool, folder_exists: bool, expected: int, gone: int, unknown: int) -> str:
    """Return why the store itself seems to be absent; empty where its missing files were deleted.

    Files that are missing in a marked folder were deleted, because the folder is ours. It is doubted nevertheless where
    more than half of many files are missing at once, or where it holds films but none that the ledger knows. A folder
    without the mark is doubted unless it holds at least half of the files.
    """
    if not gone:
        return ""
    held = f"it holds {expected - gone} of the {expected} files that the ledger knows"
    if not folder_exists:
        return f"the folder does not exist; the ledger knows {counted(expected, 'file')} in it"
    if marked and gone == expected and unknown:
        return f"{held}, and {counted(unknown, 'other')}: it seems to be the store of another home"
    if not marked and 2 * gone > expected:
        return f"{held}: it is not mounted, or another folder, or it was emptied"
    if gone > MANY and 2 * gone > expected:
        return f"{held}: it was emptied, or a part of it is not mounted"
    return ""


def look(pipeline: Pipeline, *, first: int = 0, limit: int | None = None) -> StoreLook:
    """Compare the store with the ledger; write nothing: the whole store, or from a folder (its place in FOLDERS) on the
    folders with the first `limit` files. Raise OSError where a folder can't be read."""
    store = pipeline.store
    result = StoreLook(store.mark() is not None, store.is_there())
    with pipeline.ledger.read() as connection:
        known = files.found_missing(connection, states=(*files.OPEN, "forgotten"))
    missing = {file.key: file for file in known}
    start, width, compared = first, 1, 0
    while folders := FOLDERS[start : start + width]:
        # the ledger is read first, so that files stored later are in the listing too. The reads are short, because on
        # SQLite an open read delays commits
        with pipeline.ledger.read() as connection:
            expected = list(files.rows_in(connection, folders[0], folders[-1]))
        films = {name: film for folder in folders for name, film in store.films_in(folder).items()}
        _compare_folders(result, expected, films, missing)
        start += width
        compared += len(expected)
        if limit is not None and compared >= limit and start < len(FOLDERS):
            result.next_folder = start
            break
        width = width * 4 if len(expected) * 4 <= AT_A_TIME else max(1, width // 4)
    again = {file.key for _, file in result.back}
    result.still_missing = [file for key, file in missing.items() if key not in again]
    return result


def _compare_folders(
    result: StoreLook,
    expected: Sequence[tuple[Role, FileTuple]],
    films: Mapping[str, ListedFilm],
    missing: Mapping[FileKey, MissingFileRow],
) -> None:
    names: set[str] = set()
    for role, row in expected:
        _, _, _, _, path, _, stored_bytes = row  # access by name would take twice as long
        names.add(path)
        size = films[path].bytes if path in films else None
        if not missing and size and (stored_bytes is None or stored_bytes == size):
            result.expected += 1  # nearly every file, so that building an ExpectedFile for each would be slow
            continue
        file = files.expected_file(role, row)
        _compare(result, file, size, missing.get(file.key))
    for path in films.keys() - names:
        result.unknown += 1
        result.unknown_bytes += films[path].bytes
        if len(result.unknown_paths) < EXAMPLES:
            result.unknown_paths.append(path)


def _compare(result: StoreLook, file: ExpectedFile, size: int | None, known: MissingFileRow | None) -> None:
    cause = None
    if size is None:
        cause = Cause.GONE
    elif size == 0 or (file.bytes is not None and size != file.bytes):
        cause = Cause.CUT
    if known is None:
        result.expected += 1
        if cause is not None:
            result.gone.append((file, cause))
    elif cause is None and known.cause is not Cause.DAMAGED:  # only `doctor --deep` checks its hash
        result.back.append((file, known))
