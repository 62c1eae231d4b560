"""What all surfaces of one sandbox share: clock, store, faults, films, callbacks, and the making of a task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from extend_pipeline.sandbox.clock import Clock
from extend_pipeline.sandbox.config import SandboxConfig, Seed
from extend_pipeline.sandbox.faults import seeded_random
from extend_pipeline.sandbox.faults.book import FaultBook
from extend_pipeline.sandbox.media.drawing import Frames, Segment
from extend_pipeline.sandbox.media.library import MediaLibrary
from extend_pipeline.sandbox.store.database import Store
from extend_pipeline.sandbox.store.records import Video
from extend_pipeline.sandbox.store.request_log import RequestLog
from extend_pipeline.sandbox.store.seeding import plant
from extend_pipeline.sandbox.surface.account_terms import all_terms
from extend_pipeline.sandbox.surface.callbacks import Callbacks

# A task is "submitted" for the first quarter of its run time, then "processing".
_WAITING_SHARE = 4


class Core:
    """One sandbox. All but rendering and callbacks happens on the server's one thread."""

    def __init__(self, state_dir: Path, config: SandboxConfig) -> None:
        """Open the state, plant the config's seeds. SandboxError if the state is in use or a seed is wrong."""
        state_dir.mkdir(parents=True, exist_ok=True)
        from extend_pipeline.sandbox.surfaces import SURFACES  # each of them works on a core

        self.config, self.surfaces = config, {surface.provider: surface for surface in SURFACES}
        self.terms = all_terms(config, SURFACES)
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
        return plant(self.store, self.config, self.terms, seeds, now_ms=self.clock.now_ms())

    def media_url(self, base_url: str, video: Video) -> str:
        """Return the link to a film that its surface gives now."""
        ttl_s, now_ms = self.terms[video.surface].url_ttl, self.clock.now_ms()
        link = self.surfaces[video.surface].link
        return link(base_url or self.base_url, video, now_ms, ttl_s, self.store.signing_key)

    def is_public(self, video: Video) -> bool:
        """Return whether a film may be had without a signature: a seed of a surface whose sources are URLs."""
        return self.terms[video.surface].by_url and video.parent_id is None

    def public_url(self, video_id: str) -> str:
        """Return where a film that was seeded in public lies; any other video's id as it is, for the surface to
        refuse."""
        video = self.store.video(video_id)
        return video_id if video is None else self.media_url("", video)

    def times(self, task_id: str, created_ms: int, run_time: tuple[float, float]) -> tuple[int, int]:
        """Return when a task made now turns to processing, and when it ends (ms), its run time drawn from a range
        (s)."""
        run_ms = seeded_random.draw_run_time_ms(self.config.seed, task_id, run_time)
        return created_ms + run_ms // _WAITING_SHARE, created_ms + run_ms

    def extended(
        self,
        parent: Video,
        *,
        task_id: str,
        video_id: str,
        done_ms: int,
        added_ms: int | None = None,
        segment: bool = False,
    ) -> Video:
        """Return the film that a task makes of its parent, there from `done_ms` on, under the parent's account.

        It is `added_ms` longer, by default 4.5-5.0 s; its file is the whole or, as a `segment`, the new frames alone.
        """
        shared = self.config.share_media
        if added_ms is None:
            added_ms = seeded_random.draw_added_ms(self.config.seed, str(parent.duration_ms) if shared else task_id)
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
            media_key=f"{parent.media_key}{'/' if segment else '+'}{added_ms}" if shared else video_id,
            url_version=1,
            segment=segment,
        )

    async def film(self, video: Video) -> bytes:
        """Return the mp4 of a video, rendered at its first request."""
        path = self._library.path(video.media_key)
        if not path.exists():
            chain = self._segments(self.store.lineage(video))
            path = await asyncio.get_running_loop().run_in_executor(self._renderer, self._library.ensure, chain)
        # Inline: a film is at most a few MB and most likely in the page cache.
        return path.read_bytes()

    def file_ms(self, video: Video) -> int:
        """Return how long a video's file is, which is less than the video where the file is a segment."""
        return sum(segment.length_ms for _, segment in self._segments(self.store.lineage(video)))

    def _segments(self, lineage: list[Video]) -> list[tuple[str, Segment]]:
        """Return what a film's file is made of: a file that is a segment begins anew."""
        segments: list[tuple[str, Segment]] = []
        start_ms = 0
        for video in lineage:
            if video.segment:
                segments = []
            hue = seeded_random.draw_hue(self.config.seed, lineage[0].media_key, video.hop)
            segments.append((video.media_key, Segment(start_ms, video.duration_ms - start_ms, hue, video.hop)))
            start_ms = video.duration_ms
        return segments
