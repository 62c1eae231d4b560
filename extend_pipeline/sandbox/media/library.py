"""Finished films on disk: rendered when first asked for, parents before children, each only once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

from extend_pipeline.sandbox.media.drawing import Frames, Segment
from extend_pipeline.sandbox.media.render import render_extension, render_source


class MediaLibrary:
    """A folder of mp4 files, named by a hash of their media key."""

    def __init__(self, folder: Path, frames: Frames) -> None:
        """Create the folder; half-written files of a killed server are overwritten when next needed."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._frames = folder, frames
        self._lock = threading.Lock()

    def path(self, media_key: str) -> Path:
        """Return where that film is, or will be."""
        return self._folder / f"{hashlib.sha256(media_key.encode()).hexdigest()[:40]}.mp4"

    def ensure(self, chain: Sequence[tuple[str, Segment]]) -> Path:
        """Render what is missing of a film's (media key, segment) chain, source first; the last one's path.

        A chain may begin in the middle of a story: its file's time still begins at nought.
        """
        with self._lock:
            parent: Path | None = None
            origin_ms = chain[0][1].start_ms if chain else 0
            for media_key, segment in chain:
                path = self.path(media_key)
                if not path.exists():
                    if parent is None:
                        render_source(path, segment, self._frames)
                    else:
                        render_extension(path, parent, segment, self._frames, origin_ms=origin_ms)
                parent = path
            if parent is None:
                raise ValueError("a film needs at least its source in the chain")
            return parent
