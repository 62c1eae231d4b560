"""Read the whole catalogue: every file of it, checked against the accounts and each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from extend_pipeline.config.checks.spending import spending_issues
from extend_pipeline.config.checks.times import plain_day, time_warnings, written_time
from extend_pipeline.config.checks.videos import Built, build_videos
from extend_pipeline.config.fields.images import FrameFolder, ImageFile
from extend_pipeline.config.files.accounts import AccountList
from extend_pipeline.config.files.catalogue import (
    CatalogueFile,
    FileRows,
    catalogue_files,
    common_defaults,
    issues_across,
    no_catalogue,
    read_rows,
)
from extend_pipeline.config.files.entries import Row
from extend_pipeline.config.files.text import EMPTY, is_fresh, read_bytes
from extend_pipeline.config.issues import ConfigIssue
from extend_pipeline.config.memo.identity import content_digest
from extend_pipeline.config.model.catalogue import Catalogue, CatalogueDefaults, Video
from extend_pipeline.config.warnings import same_purchase_warnings


class Frames:
    """The folders in which the images of each file are searched for, by the file's name: beside it. `known` are images
    that are not read again."""

    def __init__(self, home: Path, known: Mapping[str, Sequence[ImageFile]] | None = None) -> None:
        self._home, self._known = home, known or {}
        self._folders: dict[str, FrameFolder] = {}

    def __call__(self, file: str) -> FrameFolder:
        """Return the folder of a file."""
        if file not in self._folders:
            self._folders[file] = FrameFolder((self._home / file).parent, self._known.get(file, ()))
        return self._folders[file]

    def images(self, file: str) -> Sequence[ImageFile]:
        """Return the images that were read for a file."""
        return self._folders[file].images if file in self._folders else ()


@dataclass(frozen=True)
class ReadFile:
    """One file as it was read: its entries, the digest of its bytes, and the images that it names."""

    rows: FileRows
    content: str
    images: Sequence[ImageFile] = ()


@dataclass(frozen=True)
class ReadCatalogue:
    """What was read of the files: the catalogue of the valid entries, the issues, and each entry by its key."""

    catalogue: Catalogue
    issues: Sequence[ConfigIssue]
    files: Sequence[ReadFile] = ()
    rows: Mapping[str, Row] = field(default_factory=dict)


def read_whole(home: Path, accounts: AccountList, budgeted: AccountList, *, now: datetime) -> ReadCatalogue:
    """Return the catalogue of a home, checked with `accounts`; budgets and prices are looked for in `budgeted`, which
    are those of accounts.yaml alone. `now` is aware."""
    found, folder_issues = catalogue_files(home)
    first = found[0].path if found else home / "catalog.yaml"
    if not found and not folder_issues:
        return ReadCatalogue(Catalogue({}, first), [no_catalogue(home)])
    frames = Frames(home)
    read = [read_file(file, accounts, now=now) for file in found]
    rows = [row for file in read for row in file.rows.rows]
    defaults, issues = common_defaults([file.rows for file in read])
    built = build_videos(rows, accounts, frames=frames, now=now)
    issues = [
        *folder_issues,
        *(issue for file in read for issue in file.rows.issues),
        *issues,
        *issues_across(rows),
        *built.issues,
        *spending_issues(budgeted, built.uses),
    ]
    if len(found) > 1:  # `init` writes no example beside a catalogue
        issues = [
            replace(issue, hint="Fill it, or remove it.") if issue.message == EMPTY[0] else issue for issue in issues
        ]
    keyed: dict[str, Row] = {}
    for row in rows:
        if row.key is not None:
            keyed.setdefault(row.key, row)
    return ReadCatalogue(
        catalogue_of(built, keyed, defaults, path=first, now=now),
        issues,
        [ReadFile(file.rows, file.content, frames.images(file.rows.file)) for file in read],
        keyed,
    )


def read_file(file: CatalogueFile, accounts: AccountList, *, now: datetime) -> ReadFile:
    """Return the entries of one file. `now` is aware."""
    raw = read_bytes(file.path, file.name)
    content = "" if isinstance(raw, ConfigIssue) else content_digest(raw)
    rows = read_rows(raw, file.name, accounts.providers, is_fresh=is_fresh(file.path, now=now))
    return ReadFile(rows, content)


def catalogue_of(
    built: Built, rows: Mapping[str, Row], defaults: CatalogueDefaults, *, path: Path, now: datetime
) -> Catalogue:
    """Return the catalogue of these videos, with its warnings. `rows` are their entries by key."""
    dated = [(rows[key], created) for key, video in built.videos.items() if (created := created_at(video)) is not None]
    days = [day for row, _ in dated if (day := plain_day(row)) is not None]
    future = [written_time(row) for row, created in dated if created > now]
    notes = (*time_warnings(days, future), *same_purchase_warnings(built.videos.values()))
    return Catalogue(built.videos, path, defaults.on_change, notes)


def created_at(video: Video) -> datetime | None:
    """Return when a video's own source was made; None for a branch, and where it is not written."""
    return getattr(video.source, "created_at", None)
