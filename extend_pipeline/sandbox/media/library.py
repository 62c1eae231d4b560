"""Finished films on disk, each rendered once, on its first request, after its parent."""

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
        """Create the folder. Half-written files of a killed server are overwritten on the next request."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._frames = folder, frames
        self._lock = threading.Lock()

    def path(self, media_key: str) -> Path:
        """Return the path of a film, which may not exist yet."""
        return self._folder / f"{hashlib.sha256(media_key.encode()).hexdigest()[:40]}.mp4"

    def ensure(self, chain: Sequence[tuple[str, Segment]]) -> Path:
        """Render the missing films of a (media key, segment) chain, source first; return the path of the last film.

        A chain may begin in the middle of a story; the time in its file still begins at 0.
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
