"""What all surfaces of one sandbox share: clock, store, faults, films, callbacks, and the making of a task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from extend_pipeline.sandbox import draws
from extend_pipeline.sandbox.callbacks import Callbacks
from extend_pipeline.sandbox.clock import Clock
from extend_pipeline.sandbox.config import SandboxConfig, Seed
from extend_pipeline.sandbox.fault_book import FaultBook
from extend_pipeline.sandbox.links import media_url
from extend_pipeline.sandbox.media.library import MediaLibrary
from extend_pipeline.sandbox.media.picture import Frames, Segment
from extend_pipeline.sandbox.records import Video
from extend_pipeline.sandbox.request_log import RequestLog
from extend_pipeline.sandbox.seeding import plant
from extend_pipeline.sandbox.store import Store

# A task is "submitted" for the first quarter of its run time, then "processing".
_WAITING_SHARE = 4


class Core:
    """One sandbox. All but rendering and callbacks happens on the server's one thread."""

    def __init__(self, state_dir: Path, config: SandboxConfig) -> None:
        """Open the state, plant the config's seeds. SandboxError if the state is in use or a seed is wrong."""
        state_dir.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.clock = Clock(config.now_offset)
        self.store = Store(state_dir / "sandbox.sqlite")
        self.faults = FaultBook(self.store)
        self.requests = RequestLog()
        self.callbacks = Callbacks(self.clock, config.webhook_secret)
        self.stopping = asyncio.Event()
        self.base_url = ""
        self._library = MediaLibrary(state_dir / "media", Frames(config.width, config.height, config.fps))
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="sandbox-render")
        try:
            self.seed(config.seeds)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the threads and release the file."""
        self.callbacks.close()
        self._renderer.shutdown(wait=True, cancel_futures=True)
        self.store.close()

    def seed(self, seeds: Iterable[Seed | Mapping[str, object]]) -> list[Video]:
        """Plant source videos, all or none; one that is there already with the same values is left alone."""
        return plant(self.store, self.config, seeds, self.clock.now_ms())

    def media_url(self, base_url: str, video: Video) -> str:
        """A fresh link to a film."""
        expires_s = int(self.clock.now_ms() / 1000 + self.config.url_ttl)
        return media_url(base_url or self.base_url, video, expires_s=expires_s, key=self.store.signing_key)

    def times(self, task_id: str, created_ms: int) -> tuple[int, int]:
        """When a task made now turns to processing, and when it ends (ms)."""
        run_ms = draws.draw_run_time_ms(self.config.seed, task_id, self.config.run_time)
        return created_ms + run_ms // _WAITING_SHARE, created_ms + run_ms

    def extended(self, parent: Video, *, task_id: str, video_id: str, done_ms: int) -> Video:
        """The film that a task makes of its parent: 4.5-5.0 s longer, there from `done_ms` on."""
        shared = self.config.share_media
        added_ms = draws.draw_added_ms(self.config.seed, str(parent.duration_ms) if shared else task_id)
        return Video(
            video_id=video_id,
            account=parent.account,
            surface=parent.surface,
            model=parent.model,
            mode=parent.mode,
            duration_ms=parent.duration_ms + added_ms,
            created_ms=done_ms,
            parent_id=parent.video_id,
            root_id=parent.root_id,
            hop=parent.hop + 1,
            media_key=f"{parent.media_key}+{added_ms}" if shared else video_id,
            url_version=1,
        )

    async def film(self, video: Video) -> bytes:
        """The mp4 of a video, rendered now if nobody has asked for it before."""
        path = self._library.path(video.media_key)
        if not path.exists():
            chain = self._segments(self.store.lineage(video))
            path = await asyncio.get_running_loop().run_in_executor(self._renderer, self._library.ensure, chain)
        # Inline: a film is at most a few MB and most likely in the page cache.
        return path.read_bytes()

    def _segments(self, lineage: list[Video]) -> list[tuple[str, Segment]]:
        segments, start_ms = [], 0
        for video in lineage:
            hue = draws.draw_hue(self.config.seed, lineage[0].media_key, video.hop)
            segments.append((video.media_key, Segment(start_ms, video.duration_ms - start_ms, hue, video.hop)))
            start_ms = video.duration_ms
        return segments
