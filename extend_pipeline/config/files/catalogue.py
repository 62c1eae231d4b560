"""The files of a catalogue: catalog.yaml, catalog.csv, and every YAML and CSV file below `catalog/`."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from extend_pipeline.config.files.csv import read_csv
from extend_pipeline.config.files.entries import Row, read_list, repeated_keys, reused_names, row_of
from extend_pipeline.config.files.text import UNSETTLED_S, decode, is_there, missing
from extend_pipeline.config.files.translate import Scope, no_signed_url
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigIssue
from extend_pipeline.config.model.catalogue import CatalogueDefaults
from extend_pipeline.config.model.provider import Providers, columns

FOLDER: Final = "catalog"
_BESIDE: Final = ("catalog.yaml", "catalog.csv")
_YAML: Final = (".yaml", ".yml")
_CSV: Final = ".csv"
_MISNAMED: Final = re.compile(r"catalog(ue)?(\.(ya?ml|csv))?", re.IGNORECASE)
_ENDS: Final = ".yaml, .yml or .csv"
_SKIPPED: Final = (".", "~$")  # how the names of copies and locks begin that editors and spreadsheets make
_COPY: Final = re.compile(r".*(~|#|\.(swp|bak|orig|tmp))|readme\.txt", re.IGNORECASE | re.DOTALL)
_NOT_READ: Final = re.compile(
    r".*\.((xlsx?|ods|numbers|tsv|cvs|json)|(csv|ya?ml)\..+)", re.IGNORECASE | re.DOTALL
)  # names of files that may well hold videos


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    """A file of the catalogue. `name` is its path from the home, with slashes."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class FileRows:
    """The entries of one file. `defaults` are those of all videos, if the file gives them in line `defaults_line`."""

    file: str
    rows: tuple[Row, ...] = ()
    issues: tuple[ConfigIssue, ...] = ()
    defaults: CatalogueDefaults | None = None
    defaults_line: int = 0


def catalogue_files(home: Path) -> tuple[list[CatalogueFile], list[ConfigIssue]]:
    """Return the catalogue's files in the order in which they are read, and the issues of misnamed files and folders,
    and of folders and links that can't be looked into, because a file that isn't seen would take its videos out of the
    catalogue."""
    found = [CatalogueFile(name, home / name) for name in _BESIDE if is_there(home / name)]
    issues = list(_misnamed(home, found))
    if is_there(home / FOLDER):
        found += sorted(_below(home / FOLDER, FOLDER, issues), key=lambda file: file.name)
    return found, issues


def _misnamed(home: Path, found: Sequence[CatalogueFile]) -> Iterator[ConfigIssue]:
    """Yield an issue for each file of the home that is named almost like one of the catalogue, and for each folder that
    is named almost like its folder and has files as that would."""
    try:
        names = sorted(path.name for path in home.iterdir() if _MISNAMED.fullmatch(path.name))
    except (OSError, ValueError):  # its files may be readable nevertheless
        return
    read = [home / FOLDER, *(file.path for file in found)]
    for name in names:
        # what is read may have this name too, by a link or on a disk that knows no case
        if name in (*_BESIDE, FOLDER) or any(_is_same(home / name, path) for path in read):
            continue
        if "." not in name:
            if any(_below(home / name, name, [])):
                message = f"is not read: the folder with the files of a catalogue is called {FOLDER}"
                yield ConfigIssue(name, None, message, "Rename it, or remove it.")
        else:
            message = f"is not read: a catalogue beside {ACCOUNTS_FILE} is called {' or '.join(_BESIDE)}"
            hint = f"Rename it, move it into {FOLDER}/, where names that end in {_ENDS} are read, or remove it."
            yield ConfigIssue(name, None, message, hint)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _below(folder: Path, shown: str, issues: list[ConfigIssue]) -> Iterator[CatalogueFile]:
    """Yield the files below a folder. `shown` is its path from the home as text, because a name may be no UTF-8."""
    try:
        with os.scandir(folder) as listed:
            items = list(listed)
    except OSError as error:
        message = f"the folder can't be read: {error.strerror or error}"
        issues.append(ConfigIssue(shown, None, message, f"Look at {folder}."))
        return
    for item in items:
        name = f"{shown}/{os.fsencode(item.name).decode('utf-8', 'backslashreplace')}"
        if item.name.startswith(_SKIPPED):
            continue
        try:
            is_folder, is_link = item.is_dir(), item.is_symlink()
        except OSError as error:
            message = f"can't be read: {error.strerror or error}"
            issues.append(ConfigIssue(name, None, message, f"Look at {item.path}."))
            continue
        if is_folder and not is_link:
            yield from _below(Path(item.path), name, issues)
        elif is_folder:
            issues.append(ConfigIssue(name, None, "is a link to a folder, which is not followed", "Move it here."))
        elif Path(item.name).suffix.lower() in (*_YAML, _CSV):
            yield CatalogueFile(name, Path(item.path))
        elif _NOT_READ.fullmatch(item.name) and not _COPY.fullmatch(item.name):
            message = f"is not read: below {FOLDER}/ names that end in {_ENDS} are read"
            hint = f"If it holds videos, rename it, or save it as CSV UTF-8; else move it out of {FOLDER}/."
            issues.append(ConfigIssue(name, None, message, hint))


def no_catalogue(home: Path) -> ConfigIssue:
    """Return the issue of a home without a file of a catalogue."""
    return missing(home / "catalog.yaml", what="catalogue")


def read_rows(raw: bytes | ConfigIssue, file: str, providers: Providers, *, is_fresh: bool) -> FileRows:
    """Return the entries of a file's bytes, with the issues of everything but their `source` and `extend`. `is_fresh`
    tells that it was written a moment ago: then the last cell of a table without a line end may be half a text."""
    text = raw if isinstance(raw, ConfigIssue) else decode(raw, file)
    defaults: CatalogueDefaults | None = None
    line = 0
    if not file.lower().endswith(_CSV):
        nodes, issues, tree = read_list(text, file, "videos", beside=("defaults",))
        node = None if tree is None else tree.child("defaults")
        if tree is not None and node is not None and node.value is not None:
            line = tree.children["defaults"][0]
            defaults, default_issues = Scope(file, node, None, no_signed_url).read(CatalogueDefaults)
            issues += [replace(issue, field=f"defaults.{issue.field}") for issue in default_issues]
    elif isinstance(text, ConfigIssue):
        nodes, issues = [], [text]
    else:
        nodes, issues = read_csv(text, file, columns(providers))
        if is_fresh and not text.endswith(("\n", "\r")):
            message = "is still being written: it was changed a moment ago, and its last line has no end"
            hint = f"Nothing is submitted until the line is ended, or the file stays as it is for {UNSETTLED_S} s."
            issues.append(ConfigIssue(file, None, message, hint))
    rows = []
    for node in nodes:
        row, row_issues = row_of(node, file)
        rows.append(row)
        issues += row_issues
    return FileRows(file, tuple(rows), tuple(issues), defaults, line)


def issues_across(rows: Sequence[Row]) -> Iterator[ConfigIssue]:
    """Yield the issues of keys and earlier keys that several entries have."""
    yield from repeated_keys(rows)
    yield from reused_names(
        [(row.scope, row.was) for row in rows],
        {row.key for row in rows},
        kind="video",
        still="is the key of a video of the catalogue still",
        hint="Write was: in the one entry that goes on under a new key; to buy the same again, write again: true.",
    )


def common_defaults(files: Sequence[FileRows]) -> tuple[CatalogueDefaults, list[ConfigIssue]]:
    """Return the `defaults` of the catalogue, and an issue for each file that gives them besides the first."""
    giving = [file for file in files if file.defaults is not None]
    if not giving:
        return CatalogueDefaults(), []
    first = giving[0]
    message = f"stands in {first.file}:{first.defaults_line} too, and holds for all videos"
    issues = [ConfigIssue(f.file, f.defaults_line, message, "Keep one.", field="defaults") for f in giving[1:]]
    return first.defaults or CatalogueDefaults(), issues
