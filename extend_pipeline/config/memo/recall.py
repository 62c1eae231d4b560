"""Find the remembered catalogue of a home, read again what was edited, and remember it anew.

What a file says is remembered only while the whole catalogue has no mistake. A mistake anywhere has all files read, so
that every message names its line.
"""

import json
import logging
import os
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from extend_pipeline.base.disk import file_mark
from extend_pipeline.base.units import to_ms
from extend_pipeline.config.checks.spending import spending_issues
from extend_pipeline.config.checks.times import WrittenTime, time_warnings
from extend_pipeline.config.checks.videos import build_videos
from extend_pipeline.config.fields.images import ImageFile
from extend_pipeline.config.files.accounts import AccountList
from extend_pipeline.config.files.catalogue import (
    CatalogueFile,
    FileRows,
    catalogue_files,
    common_defaults,
    issues_across,
)
from extend_pipeline.config.files.entries import Row
from extend_pipeline.config.issues import ACCOUNTS_FILE
from extend_pipeline.config.memo.identity import (
    catalogue_digest,
    digest_of,
    is_unchanged,
    rules_digest,
    settled_mark,
)
from extend_pipeline.config.memo.snapshot import DAYS, SHARED_STARTS, Entry, File, NewSnapshot, Snapshot
from extend_pipeline.config.memo.videos import RememberedVideos, entry_of, row_from
from extend_pipeline.config.model.catalogue import Catalogue, CatalogueDefaults, Change, Video
from extend_pipeline.config.model.provider import Providers
from extend_pipeline.config.warnings import same_purchase_warnings
from extend_pipeline.config.whole import Frames, ReadCatalogue, ReadFile, created_at, read_file

NAME: Final = "catalogue.sqlite"
_LEFT_S: Final = 3600  # no process writes a snapshot for so long
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recalled:
    """A catalogue without a mistake, and the file of a new snapshot of it, which is not in its place yet."""

    catalogue: Catalogue
    made: Path | None = None

    def keep(self, state_dir: Path) -> None:
        """Put a new snapshot in its place. It is synced first, because a torn one could name other purchases."""
        if self.made is None:
            return
        try:
            descriptor = os.open(self.made, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self.made.replace(state_dir / NAME)
        except OSError as error:
            _log.warning("%s can't be written: %s", state_dir / NAME, error)
            self.drop()

    def drop(self) -> None:
        """Remove a new snapshot. The catalogue, which has it open, can be used all the same."""
        if self.made is not None:
            self.made.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Home:
    """What a catalogue is read with. `images` are the marks of its image files, taken before they were looked at.
    `scratch` is where a new snapshot is made; None is where temporary files are."""

    path: Path
    accounts: AccountList
    accounts_digest: str
    now: datetime
    scratch: Path | None
    images: Mapping[Path, tuple[int, ...] | None]

    @property
    def providers(self) -> Providers:
        return self.accounts.providers


def recall(home: Path, state_dir: Path, accounts: AccountList, *, now: datetime, keep: bool) -> Recalled | None:
    """Return the catalogue of a home by its snapshot, with only the edited files read; None if all must be read.

    `accounts` are without a mistake, and `now` is aware. With `keep`, a new snapshot is made in `state_dir`, else where
    temporary files are.
    """
    try:
        snapshot = Snapshot((state_dir / NAME).absolute())
        known = {file.file: file for file in snapshot.files()}
    except (sqlite3.Error, ValueError):
        return None
    accounts_digest = digest_of(home / ACCOUNTS_FILE)
    meta = snapshot.meta
    if (meta["rules"], meta["accounts"]) != (rules_digest(), accounts_digest):
        return None
    if to_ms(now) < int(meta["newest_ms"]):  # a clock that was set back: a source may lie in the future now
        return None
    found, issues = catalogue_files(home)
    if issues or not found:
        return None
    images = {path: file_mark(path) for path in _images(home, {name: file.images for name, file in known.items()})}
    read_with = _Home(home, accounts, accounts_digest, now, state_dir if keep else None, images)
    edited = [file for file in found if not _is_unchanged(file, known.get(file.name))]
    if not edited and [file.name for file in found] == list(known):
        return Recalled(_catalogue(snapshot, read_with))
    try:
        return _update(snapshot, known, found, edited, read_with)
    except (OSError, sqlite3.Error, ValueError) as error:  # a path may be no UTF-8
        _log.warning("%s can't be written: %s", (read_with.scratch or Path()) / NAME, error)
        return None


def remember(
    read: ReadCatalogue, home: Path, state_dir: Path, accounts: AccountList, *, now: datetime, keep: bool
) -> Recalled:
    """Return a whole catalogue that was read without a mistake, with its digest; with `keep`, as a new snapshot."""
    accounts_digest = digest_of(home / ACCOUNTS_FILE)
    files = [_file(file, now) for file in read.files]
    digest = catalogue_digest(accounts_digest, [(file.file, file.content, file.images) for file in files])
    images = _read_marks(home, read.files)
    catalogue = replace(read.catalogue, digest=digest, images=images)
    newest = _newest_ms(catalogue.videos.values())
    if not keep or newest > to_ms(now):
        return Recalled(catalogue)
    read_with = _Home(home, accounts, accounts_digest, now, state_dir, images)
    try:
        new = NewSnapshot(_new_path(read_with))
        try:
            for file, content in zip(read.files, files, strict=True):
                new.add(content, _entries(file.rows.rows, catalogue.videos))
            new.order([file.file for file in files])
            return _finish(new, read_with, digest, newest, catalogue.on_change, catalogue.notes, None)
        except BaseException:
            new.discard()
            raise
    except (OSError, sqlite3.Error, ValueError) as error:  # a path may be no UTF-8
        _log.warning("%s can't be written: %s", state_dir / NAME, error)
        return Recalled(catalogue)


def _update(
    snapshot: Snapshot,
    known: Mapping[str, File],
    found: Sequence[CatalogueFile],
    edited: Sequence[CatalogueFile],
    read_with: _Home,
) -> Recalled | None:
    """Return the catalogue with the edited files read again; None where an entry of them, or one that branches off
    them, has a mistake, and where an entry of an unchanged file has another account because its root has."""
    files = [read_file(file, read_with.accounts, now=read_with.now) for file in edited]
    names = [file.name for file in found]
    gone = (known.keys() - set(names)) | {file.name for file in edited}
    rows = [row for file in files for row in file.rows.rows]
    before = {entry.key for entry in snapshot.entries("file", gone)}
    keys = {row.key for row in rows if row.key is not None}
    defaults, issues = common_defaults(_with_defaults(names, files, known))
    if issues or any(file.rows.issues for file in files) or _clash(snapshot, rows, gone):
        return None
    related = _related(snapshot, rows, before | keys, gone)
    frames = Frames(read_with.path, {name: file.images for name, file in known.items() if name not in gone})
    related_rows = [row_from(entry) for entry in related]
    built = build_videos([*rows, *related_rows], read_with.accounts, frames=frames, now=read_with.now)
    newest = max(_newest_ms(built.videos.values()), int(snapshot.meta["newest_ms"]))
    if (
        built.issues
        or len(built.videos) != len(rows) + len(related)
        or any(issues_across(rows))
        or any(spending_issues(read_with.accounts, built.uses))
        or newest > to_ms(read_with.now)
        or any(_root_differs(entry, built.videos[entry.key]) for entry in related)
    ):
        return None
    change = Change(snapshot.meta["digest"], frozenset({*before, *built.videos}))
    files = [replace(file, images=frames.images(file.rows.file)) for file in files]
    read_with = replace(read_with, images={**_read_marks(read_with.path, files), **read_with.images})
    new = NewSnapshot(_new_path(read_with), like=snapshot)
    try:
        new.remove(gone)
        for file in files:
            new.add(_file(file, read_with.now), _entries(file.rows.rows, built.videos))
        new.order(names)
        digest = catalogue_digest(
            read_with.accounts_digest, [(file.file, file.content, file.images) for file in new.files()]
        )
        notes = _notes(new, read_with)
        return _finish(new, read_with, digest, newest, defaults.on_change, notes, change)
    except BaseException:
        new.discard()
        raise


def _is_unchanged(file: CatalogueFile, known: File | None) -> bool:
    if known is None or digest_of(file.path) != known.content:
        return False
    return all(is_unchanged(image, file.path.parent) for image in known.images)


def _images(home: Path, files: Mapping[str, Sequence[ImageFile]]) -> dict[Path, ImageFile]:
    """Return the images that files name, by their paths as they are named: a link there may be changed, too."""
    return {(home / name).parent / image.written: image for name, images in files.items() for image in images}


def _read_marks(home: Path, files: Iterable[ReadFile]) -> dict[Path, tuple[int, ...] | None]:
    images = _images(home, {file.rows.file: file.images for file in files})
    return {path: image.mark for path, image in images.items()}


def _with_defaults(names: Iterable[str], files: Iterable[ReadFile], known: Mapping[str, File]) -> list[FileRows]:
    read = {file.rows.file: file.rows for file in files}
    return [read.get(name) or _defaults_of(known[name]) for name in names]


def _defaults_of(file: File) -> FileRows:
    given = CatalogueDefaults.model_construct(on_change=file.on_change) if file.defaults_line else None
    return FileRows(file.file, defaults=given, defaults_line=file.defaults_line)


def _clash(snapshot: Snapshot, rows: Iterable[Row], gone: Collection[str]) -> bool:
    """Return whether an entry of an unchanged file has, or had, a key that one of the rows has or had."""
    names = {name for row in rows for name in (row.key, row.was) if name is not None}
    return any(e.file not in gone for column in ("key", "was") for e in snapshot.entries(column, names))


def _related(snapshot: Snapshot, rows: Iterable[Row], keys: Collection[str], gone: Collection[str]) -> list[Entry]:
    """Return the entries of unchanged files that branch off videos with these keys, at any depth, and those that they
    or the rows branch off."""
    related: dict[str, Entry] = {}
    below: Collection[str] = keys
    while below:
        entries = [e for e in snapshot.entries("branch_of", below) if e.file not in gone and e.key not in related]
        related |= {entry.key: entry for entry in entries}
        below = [entry.key for entry in entries]
    above = {row.branch_of for row in rows} | {entry.branch_of for entry in related.values()}
    while above := {key for key in above if key is not None and key not in related}:
        entries = [e for e in snapshot.entries("key", above) if e.file not in gone]
        related |= {entry.key: entry for entry in entries}
        above = {entry.branch_of for entry in entries}
    return list(related.values())


def _root_differs(entry: Entry, video: Video) -> bool:
    """Return whether what a remembered entry has from its root is not what the root has now. Lengths, modes and ids are
    asked of the root itself, so that no entry keeps them."""
    return (entry.account, entry.provider) != (video.account, video.provider)


def _file(file: ReadFile, now: datetime) -> File:
    images = [replace(image, mark=settled_mark(image, now=now)) for image in file.images]
    defaults = file.rows.defaults
    return File(
        file.rows.file,
        file.content,
        None if defaults is None else defaults.on_change,
        0 if defaults is None else file.rows.defaults_line,
        sorted(images, key=lambda image: image.written),
    )


def _entries(rows: Sequence[Row], videos: Mapping[str, Video]) -> list[Entry]:
    return [entry_of(row, videos[row.key], n) for n, row in enumerate(rows) if row.key is not None]


def _newest_ms(videos: Iterable[Video]) -> int:
    """Return the time of the newest source; 0 if none has one."""
    return max((to_ms(created) for video in videos if (created := created_at(video)) is not None), default=0)


def _notes(new: NewSnapshot, read_with: _Home) -> tuple[str, ...]:
    """Return the warnings about a catalogue, as sentences."""
    days = [WrittenTime(*row) for row in new.rows(DAYS)]
    same = [key for (key,) in new.rows(SHARED_STARTS)]
    videos = RememberedVideos(new, read_with.path, read_with.providers)
    return (*time_warnings(days, ()), *same_purchase_warnings(videos.of(same)))


def _finish(
    new: NewSnapshot,
    read_with: _Home,
    digest: str,
    newest_ms: int,
    on_change: str | None,
    notes: Sequence[str],
    change: Change | None,
) -> Recalled:
    new.finish(
        {
            "rules": rules_digest(),
            "accounts": read_with.accounts_digest,
            "digest": digest,
            "newest_ms": str(newest_ms),
            "on_change": json.dumps(on_change),
            "notes": json.dumps(list(notes)),
            "since": "" if change is None else change.since,
            "changed": json.dumps([] if change is None else sorted(change.keys)),
        }
    )
    return Recalled(_catalogue(Snapshot(new.path.absolute()), read_with), new.path)


def _catalogue(snapshot: Snapshot, read_with: _Home) -> Catalogue:
    meta = snapshot.meta
    files = snapshot.files()
    return Catalogue(
        RememberedVideos(snapshot, read_with.path, read_with.providers),
        read_with.path / files[0].file,
        json.loads(meta["on_change"]),
        tuple(json.loads(meta["notes"])),
        meta["digest"],
        Change(meta["since"], frozenset(json.loads(meta["changed"]))) if meta["since"] else None,
        read_with.images,
    )


def _new_path(read_with: _Home) -> Path:
    """Return the path of a new file. Files that processes left behind which were killed are removed."""
    folder = read_with.scratch or Path(gettempdir())  # which fails where no folder can be used
    for left in folder.glob(f"{NAME}.*.part"):
        with suppress(OSError):
            if read_with.now.timestamp() - left.stat().st_mtime > _LEFT_S:
                left.unlink()
    return folder / f"{NAME}.{secrets.token_hex(8)}.part"
