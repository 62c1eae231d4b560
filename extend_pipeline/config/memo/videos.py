"""The videos of a snapshot: each is read into its model when it is asked for."""

import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from extend_pipeline.base.units import to_ms
from extend_pipeline.config.checks.times import plain_day
from extend_pipeline.config.fields.images import FrameFolder
from extend_pipeline.config.files.entries import Row, row_of
from extend_pipeline.config.files.located import Node, mapping, sequence
from extend_pipeline.config.files.sheet import CommaCell
from extend_pipeline.config.memo.snapshot import Entry, NewSnapshot, Snapshot
from extend_pipeline.config.model.catalogue import BranchSource, Video, VideoIndex
from extend_pipeline.config.model.provider import Providers, by_name
from extend_pipeline.config.warnings import start
from extend_pipeline.config.whole import Frames, created_at

MAX_KEPT: Final = 10_000
"""Videos that a process keeps in memory; beyond that it reads them again."""

_AT_ONCE: Final = 500


class RememberedVideos(VideoIndex):
    """The videos of a snapshot, in the order of the files."""

    def __init__(self, snapshot: Snapshot | NewSnapshot, home: Path, providers: Providers) -> None:
        files = snapshot.files()
        self._snapshot, self._providers = snapshot, providers
        self._frames = Frames(home, {file.file: file.images for file in files})
        self._positions = {file.file: position for position, file in enumerate(files)}
        self._kept: dict[str, Video] = {}

    def __getitem__(self, key: str) -> Video:
        video = self._kept.get(key)
        if video is None:
            videos = self.of([key])
            if not videos:
                raise KeyError(key)
            video = videos[0]
        return video

    def __contains__(self, key: object) -> bool:
        return key in self._kept or bool(self._snapshot.rows("SELECT 1 FROM entries WHERE key = ?", (key,)))

    def __iter__(self) -> Iterator[str]:
        query = "SELECT key FROM entries JOIN files USING (file) ORDER BY position, n"
        return iter([key for (key,) in self._snapshot.rows(query)])

    def __len__(self) -> int:
        return int(self._snapshot.rows("SELECT count(*) FROM entries")[0][0])

    def each(self) -> Iterator[Video]:
        """Yield the videos, some at a time in memory."""
        keys = list(self)
        for first in range(0, len(keys), _AT_ONCE):
            yield from self.of(keys[first : first + _AT_ONCE])

    def of(self, keys: Collection[str]) -> list[Video]:
        """Return the videos with these keys, in the order of the files; unknown keys are left out."""
        entries = sorted(self._snapshot.entries("key", keys), key=lambda e: (self._positions[e.file], e.n))
        return [self._kept.get(entry.key) or self._keep(self._video(entry)) for entry in entries]

    def accounts(self) -> dict[str, int]:
        """Return how many videos each account has."""
        return dict(self._snapshot.rows("SELECT account, count(*) FROM entries GROUP BY account"))

    def branches(self) -> frozenset[str]:
        """Return the keys of the videos that branch off another one."""
        return frozenset(key for (key,) in self._snapshot.rows("SELECT key FROM entries WHERE branch_of IS NOT NULL"))

    def renamed(self) -> dict[str, str]:
        """Return the earlier keys of the videos that have one, by key."""
        return dict(self._snapshot.rows("SELECT key, was FROM entries WHERE was IS NOT NULL"))

    def _keep(self, video: Video) -> Video:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[video.key] = video
        return video

    def _video(self, entry: Entry) -> Video:
        provider, value = by_name(self._providers)[entry.provider], _unpacked(entry)
        source_model = provider.source if entry.branch_of is None else BranchSource
        source = source_model.model_validate(value["source"], by_alias=True, by_name=False)
        frames: FrameFolder = self._frames(entry.file)
        extend = provider.extend.model_validate(value["extend"], by_alias=True, by_name=False, context=frames)
        return Video(
            entry.key,
            entry.account,
            entry.provider,
            source,
            extend,
            file=entry.file,
            line=entry.line,
            was=entry.was,
            again=bool(entry.again),
        )


def entry_of(row: Row, video: Video, n: int) -> Entry:
    """Return the entry of a valid row, the `n`-th of its file."""
    day, created, value = plain_day(row), created_at(video), row.scope.node.value
    return Entry(
        video.key,
        video.file,
        n,
        video.line,
        video.account,
        video.provider,
        video.again,
        video.was,
        row.branch_of,
        hashlib.sha256("\x1f".join(start(video)).encode("utf-8", "surrogatepass")).hexdigest()[:32],
        None if created is None else to_ms(created),
        None if day is None else day.line,
        None if day is None else day.shown,
        json.dumps(value),
        _has_commas(value),
    )


def row_from(entry: Entry) -> Row:
    """Return an entry as a row. All its fields have the line of the entry."""
    return row_of(_node(_unpacked(entry), entry.line), entry.file)[0]


def _has_commas(value: Any) -> bool:
    return isinstance(value, CommaCell) or (isinstance(value, dict) and any(map(_has_commas, value.values())))


def _unpacked(entry: Entry) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(entry.value)
    return _with_commas(value) if entry.commas else value


def _with_commas(value: Any) -> Any:
    if isinstance(value, str):
        return CommaCell(value)
    return {name: _with_commas(item) for name, item in value.items()} if isinstance(value, dict) else value


def _node(value: Any, line: int) -> Node:
    if isinstance(value, dict):
        return mapping({name: (line, _node(item, line)) for name, item in value.items()}, line)
    if isinstance(value, list):
        return sequence([_node(item, line) for item in value], line)
    return Node(line, value)
