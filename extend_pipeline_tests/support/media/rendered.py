"""Films of sandboxes in the test process, each rendered once: they depend on lengths, hues and sizes alone, and most
tests grow the same ones. The sandbox's own tests render every film."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final

import pytest

from extend_pipeline.sandbox.media import library
from extend_pipeline.sandbox.media.drawing import Frames, Segment
from extend_pipeline.sandbox.media.render import render_extension, render_source

_films: Final[dict[Hashable, bytes]] = {}


def render_once(patch: pytest.MonkeyPatch) -> None:
    """Let sandboxes copy what was rendered before from the same input, while the patch lasts."""

    def source(path: Path, segment: Segment, frames: Frames) -> None:
        _copy_or_render(path, (segment, frames), lambda: render_source(path, segment, frames))

    def extension(path: Path, parent: Path, segment: Segment, frames: Frames, *, origin_ms: int = 0) -> None:
        key = (hashlib.sha256(parent.read_bytes()).digest(), segment, frames, origin_ms)
        _copy_or_render(path, key, lambda: render_extension(path, parent, segment, frames, origin_ms=origin_ms))

    patch.setattr(library, "render_source", source)
    patch.setattr(library, "render_extension", extension)


def _copy_or_render(path: Path, key: Hashable, render: Callable[[], None]) -> None:
    if key not in _films:
        render()
        _films[key] = path.read_bytes()
        return
    half = path.with_suffix(".half")
    half.write_bytes(_films[key])
    half.replace(path)  # whole or not at all, as a rendered one
