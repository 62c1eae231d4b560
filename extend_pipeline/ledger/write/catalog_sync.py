"""The catalogue's entries in the ledger: declared, changed, withdrawn, and how far each video has come."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.declared_keys import withdrawn_with_many
from extend_pipeline.ledger.read.rows import VideoRow
from extend_pipeline.ledger.states import UNFINISHED, WITHDRAWN_WITH_MANY, VideoState

FEW: Final = 10
"""So many unfinished videos may always leave the catalogue at once. More of them may be a mistake if they are more than
a tenth of the unfinished ones: a wrong file was saved, or one of several files is gone."""

_DECLARED: Final = frozenset(VideoState) - {VideoState.WITHDRAWN}
_SOURCE: Final = ("source_sha256", "source_path", "source_probed_ms", "source_fault", "source_fault_at")
"""Columns of a source's file. They are kept when an entry changes, unless its source does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One catalogue entry, flattened. Times in UTC ms, durations in ms. `was` is its earlier key."""

    video_key: str
    account: str
    provider: str
    definition_digest: str
    source_video_id: str | None
    branch_of: str | None
    branch_hop: int | None
    model: str | None
    mode: str | None
    source_created_at: int | None
    extendable_until: int | None
    source_duration_ms: int | None
    target_ms: int | None
    target_steps: int | None
    was: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the columns that the event carries."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in ("video_key", "account", "was")}


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a video, as a plan computed it. The duration is in ms."""

    state: VideoState
    reason: str
    detail: str
    hops_done: int
    current_duration_ms: int | None

    def row(self) -> dict[str, Any]:
        """Return the columns that the event carries."""
        return {
            "state": self.state.value,
            "state_reason": self.reason,
            "state_detail": self.detail,
            "hops_done": self.hops_done,
            "current_duration_ms": self.current_duration_ms,
        }


@dataclass(frozen=True, slots=True)
class Declared:
    """The keys that were new, that changed, and that left the catalogue."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    withdrawn: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declarer:
    """A home that declares its catalogue: a mark that no other home and no copy has (None if it can't be read), and its
    host:folder."""

    mark: str | None
    name: str


@dataclass(frozen=True, slots=True)
class LastDeclared:
    """The catalogue that the ledger's videos were last compared with, by its digest, the number of the last event
    before or at which the set of its keys changed (a video was added, renamed, withdrawn or put back), and the home
    that declared it, if that is known.

    `seen_at` is when a home has last said that it is this one (UTC ms); None after an operator has given the ledger to
    the home that declares next. `left_over_since` is since when the ledger may have videos that the catalogue lacks.
    """

    digest: str
    keys_seq: int
    home: Declarer | None = None
    seen_at: int | None = None
    left_over_since: int | None = None

    def row(self) -> dict[str, Any]:
        """Return the columns."""
        home = self.home
        return {
            "digest": self.digest,
            "keys_seq": self.keys_seq,
            "home_mark": None if home is None else home.mark,
            "home_name": None if home is None else home.name,
            "seen_at": self.seen_at,
            "left_over_since": self.left_over_since,
        }


_LAST_DECLARED: Final = select(tables.declared_catalogue)


def last_declared(connection: Connection) -> LastDeclared | None:
    """Return the catalogue that was declared last; None if none was since the ledger knows it."""
    row = connection.execute(_LAST_DECLARED).first()
    if row is None:
        return None
    home = None if row.home_name is None else Declarer(row.home_mark, row.home_name)
    return LastDeclared(row.digest, row.keys_seq, home, row.seen_at, row.left_over_since)


def was_declared(connection: Connection, digest: str) -> bool:
    """Return whether the ledger's videos were those of this catalogue before they were the present one's."""
    table = tables.earlier_catalogues
    return connection.execute(select(table).where(table.c.digest == digest)).first() is not None


def stale_declarations(rows: Collection[VideoRow], declarations: Sequence[Declaration]) -> bool:
    """Return whether `declare` would write anything; reads nothing, so that an unchanged catalogue costs one read."""
    known = {row.video_key: row for row in rows}
    declared = {entry.video_key for entry in declarations}
    if any(key not in declared and row.state != "withdrawn" for key, row in known.items()):
        return True
    return any(
        (row := known.get(d.video_key)) is None
        or row.definition_digest != d.definition_digest
        or row.state == "withdrawn"
        for d in declarations
    )


def declare(
    tx: LedgerTransaction,
    declarations: Sequence[Declaration],
    *,
    digest: str,
    home: Declarer | None = None,
    within: Collection[str] | None = None,
    renamed: bool = False,
    withdraw: bool = True,
) -> Declared:
    """Update the ledger's videos from the catalogue. A video that left is withdrawn, not deleted, because its paid hops
    stay; without `withdraw`, that there is one is recorded instead.

    `declarations` are the whole catalogue, or its entries among the keys `within`: no other video can differ then.
    `digest` is the catalogue's, `home` the one that declares it; `renamed` tells that this transaction has renamed
    videos.
    """
    table = tables.videos
    known = {row.video_key: row for row in queries.videos(tx.connection, keys=within)}
    declared = {entry.video_key for entry in declarations}
    leaving = [k for k, row in known.items() if k not in declared and row.state != VideoState.WITHDRAWN.value]
    withdrawn = leaving if withdraw else []
    lost = _lost_at_once(tx.connection, withdrawn, is_empty=not declarations)
    first_keys: set[str] | None = None
    new: list[str] = []
    changed: list[str] = []
    put_back = False
    for entry in declarations:
        row = known.get(entry.video_key)
        was_withdrawn = row is not None and row.state == VideoState.WITHDRAWN.value
        if row is not None and row.definition_digest == entry.definition_digest and not was_withdrawn:
            continue
        put_back = put_back or was_withdrawn
        (changed if row is not None else new).append(entry.video_key)
        same_source = row is not None and _same_source(row.source_video_id, entry.source_video_id)
        kept = {name: getattr(row, name) if row is not None and same_source else None for name in _SOURCE}
        measured = None if row is None or same_source else row.source_sha256
        kept["earlier_source_sha256"] = measured or (None if row is None else row.earlier_source_sha256)
        if row is None:
            if first_keys is None:
                used = select(table.c.first_key).where(table.c.first_key.is_not(None))
                first_keys = set(tx.connection.execute(used).scalars())
            first_key = kept["first_key"] = _first_key(entry, first_keys, seq=tx.seq + 1)
            if first_key is not None:
                first_keys.add(first_key)
        tx.append("video_declared", video_key=entry.video_key, account=entry.account, data={**entry.row(), **kept})
    for key in withdrawn:
        reason = {"reason": WITHDRAWN_WITH_MANY} if key in lost else None
        tx.append("video_withdrawn", video_key=key, account=known[key].account, data=reason)
    keys_changed = renamed or put_back or bool(new or withdrawn)
    remember(
        tx, digest, home=home, keys_changed=keys_changed, compared_all=within is None, left_over=leaving != withdrawn
    )
    return Declared(tuple(new), tuple(changed), tuple(withdrawn))


def _lost_at_once(connection: Connection, withdrawn: Sequence[str], *, is_empty: bool) -> Collection[str]:
    """Return the unfinished ones of the videos that leave the catalogue, if they are so many that it may be a mistake,
    or none is left. `is_empty` tells that it has no entry among the compared ones."""
    if not withdrawn:
        return ()
    unfinished = queries.video_keys(connection, UNFINISHED)
    lost = unfinished.intersection(withdrawn)
    leaves_none = is_empty and not queries.video_keys(connection, _DECLARED).difference(withdrawn)
    return lost if leaves_none or (len(lost) > FEW and 10 * len(lost) > len(unfinished)) else ()


def confirm_withdrawn(tx: LedgerTransaction, *, why: str) -> tuple[str, ...]:
    """Record that the videos that left the catalogue with many others were meant to leave; return their keys."""
    videos = withdrawn_with_many(tx.connection)
    for video in videos:
        tx.append("video_withdrawn", video_key=video.video_key, account=video.account, data={"why": why})
    return tuple(video.video_key for video in videos)


def remember(
    tx: LedgerTransaction,
    digest: str,
    *,
    home: Declarer | None,
    keys_changed: bool,
    compared_all: bool,
    left_over: bool = False,
) -> None:
    """Record that the ledger's videos are those of the catalogue with this digest, and the home that declares it.
    `compared_all` tells that every video was compared, `left_over` that some were found that the catalogue lacks."""
    last = last_declared(tx.connection)
    before = last or LastDeclared(digest, tx.seq)
    since = before.left_over_since
    if left_over or compared_all:
        since = (since or tx.now_ms) if left_over else None
    now = replace(before, digest=digest, left_over_since=since)
    if keys_changed:
        now = replace(now, keys_seq=tx.seq)
    if home is not None:
        now = replace(now, home=home, seen_at=tx.now_ms)
    _write(tx, last, now)


def release(tx: LedgerTransaction) -> None:
    """Record that the ledger's videos become those of the home that declares next, whichever that is."""
    if (last := last_declared(tx.connection)) is not None:
        _write(tx, last, replace(last, seen_at=None))


def _write(tx: LedgerTransaction, last: LastDeclared | None, now: LastDeclared) -> None:
    table, earlier = tables.declared_catalogue, tables.earlier_catalogues
    if last is None:
        tx.connection.execute(insert(table).values(id=1, **now.row()))
    elif last != now:
        tx.connection.execute(update(table).values(**now.row()))
    if last is not None and last.digest != now.digest:
        tx.connection.execute(delete(earlier).where(earlier.c.digest.in_((last.digest, now.digest))))
        tx.connection.execute(insert(earlier).values(digest=last.digest))


def _same_source(before: str | None, now: str | None) -> bool:
    return without_signature(before or "") == without_signature(now or "")


def _first_key(entry: Declaration, used: Collection[str], *, seq: int) -> str | None:
    """Return the name that a new video's steps are named by, if it isn't its key: its name in a lost ledger, or a new
    one if its key was another video's first. `used` are the first keys of the ledger's videos, `seq` is the event's
    number."""
    if entry.was is not None:
        return entry.was
    return f"{entry.video_key}~{seq}" if entry.video_key in used else None


def progress_differs(row: VideoRow, now: Progress) -> bool:
    """Return whether a video's row differs from `now`. Withdrawn videos keep their state."""
    if row.state == VideoState.WITHDRAWN.value:
        return False
    return any(
        _without_numbers(name, getattr(row, name)) != _without_numbers(name, value) for name, value in now.row().items()
    )


def _without_numbers(name: str, value: Any) -> Any:
    """Return a column's value, a detail without its numbers ("for 12 minutes"), because an event a minute would fill
    the ledger."""
    return re.sub(r"\d+", "#", value) if name == "state_detail" else value


def record_progress(
    tx: LedgerTransaction, progress: Mapping[str, Progress], *, definitions: Mapping[str, str]
) -> list[str]:
    """Write the progress of the videos for which it differs; return their keys. `definitions` are the digests of the
    entries that it was computed for: a video that was declared anew meanwhile keeps its own state, because as complete
    it would never be looked at again."""
    known = {row.video_key: row for row in queries.videos(tx.connection, keys=progress)}
    changed: list[str] = []
    for key, now in progress.items():
        row = known.get(key)
        if row is not None and row.definition_digest == definitions[key] and progress_differs(row, now):
            tx.append("video_progressed", video_key=key, account=row.account, data=now.row())
            changed.append(key)
    return changed


def source_stored(tx: LedgerTransaction, video_key: str, *, sha256: str, path: str, duration_ms: int) -> None:
    """Record that a copy of the video's source is in the media store, and its length (ms)."""
    data = {"sha256": sha256, "path": path, "duration_ms": duration_ms}
    tx.append("source_stored", video_key=video_key, data=data)


def source_unreachable(tx: LedgerTransaction, video_key: str, *, message: str) -> None:
    """Record that the video's source could not be fetched. It is tried again later."""
    tx.append("source_unreachable", video_key=video_key, data={"message": message})
