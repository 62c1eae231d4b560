"""The films of a generated home: drawn once by a sandbox, then linked under one name for each attempt."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.generate.home import SOURCE_MS
from extend_pipeline.media.store import FOLDERS
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.store.records import Video

LINKS_A_FILE: Final = 30_000  # ext4 takes 65,000 names for a file, btrfs fewer in one folder


@dataclass(frozen=True)
class Film:
    """The film of one hop, the same for every video: its file, its length in ms and its size in bytes."""

    path: Path
    duration_ms: int
    bytes: int


def lineage(core: Core, source: str, names: Iterable[tuple[str, str]], *, account: str, at_ms: int) -> list[Video]:
    """Return a source and its extensions as the sandbox knows them, for (task id, video id) of each hop."""
    first = Video(
        video_id=source,
        account=account,
        surface="kling",
        model="kling-v1-6",
        mode="std",
        duration_ms=SOURCE_MS,
        created_ms=at_ms,
        parent_id=None,
        root_id=source,
        hop=0,
        media_key=f"length-{SOURCE_MS}",
        url_version=1,
    )
    videos = [first]
    for task_id, video_id in names:
        videos.append(core.extended(videos[-1], task_id=task_id, video_id=video_id, done_ms=at_ms))
    return videos


def draw_films(core: Core, hops: int, folder: Path) -> list[Film]:
    """Let a sandbox that shares its media draw the film of each hop, and keep them in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [(f"drawn-task-{hop}", f"drawn-video-{hop}") for hop in range(1, hops + 1)]
    drawn = lineage(core, "drawn-source", names, account=core.config.account, at_ms=0)
    films = []
    with core.store.transaction():
        for video in drawn:
            core.store.add_video(video)
    for video in drawn[1:]:
        path = folder / f"{video.hop}.mp4"
        path.write_bytes(asyncio.run(core.film(video)))
        films.append(Film(path, video.duration_ms, path.stat().st_size))
    return films


class FilmLinks:
    """Names in a media store for films that exist once: hard links, of another copy after each LINKS_A_FILE names."""

    def __init__(self, films: list[Film], store: Path) -> None:
        """Link into the folder of a store."""
        self._store, self._films, self._made = store, films, [0] * len(films)
        self._copies = [film.path for film in films]
        for folder in FOLDERS:
            (store / folder).mkdir(mode=0o700, exist_ok=True)

    def add(self, hop: int, path: str) -> None:
        """Give the film of a hop (counted from 1) one more name, relative to the store."""
        index = hop - 1
        if self._made[index] and self._made[index] % LINKS_A_FILE == 0:
            copy = self._films[index].path.with_suffix(f".{self._made[index]}.mp4")
            copy.write_bytes(self._films[index].path.read_bytes())
            self._copies[index] = copy
        os.link(self._copies[index], self._store / path)
        self._made[index] += 1
