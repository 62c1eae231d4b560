"""Drawing of video frames: a moving pattern in the film's hue, a running clock and the hop's number."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extend_pipeline.sandbox.media.font import GLYPH_COLUMNS, GLYPH_ROWS, text_mask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]

# Pixels a second: slow, so that two neighbouring frames are similar, as the seam check expects of real films.
_DRIFT = 24
_PERIOD = 128
_INK, _PAPER = 235, 24


@dataclass(frozen=True)
class Frames:
    """Size (pixels, even) and rate (frames a second) of every film of one sandbox."""

    width: int
    height: int
    fps: int


@dataclass(frozen=True)
class Segment:
    """One stretch of film: its start and length (ms), its hue (0-359) and its hop number."""

    start_ms: int
    length_ms: int
    hue: int
    hop: int


def frame_times(segment: Segment, fps: int) -> list[int]:
    """Return presentation times in ms, evenly spaced, so that the length is exact at any rate."""
    count = max(1, round(segment.length_ms * fps / 1000))
    return [segment.start_ms + round(index * segment.length_ms / count) for index in range(count)]


def draw(segment: Segment, frames: Frames) -> Iterator[tuple[int, Plane]]:
    """Yield `(ms, samples)` for each frame; samples are yuv420p, planes stacked, shape (height * 3/2, width)."""
    import numpy as np

    width, height = frames.width, frames.height
    samples: Plane = np.empty((height * 3 // 2, width), dtype=np.uint8)
    u, v = _chroma(segment.hue)
    chroma = samples[height:].reshape(-1)
    chroma[: chroma.size // 2] = u
    chroma[chroma.size // 2 :] = v
    pattern = _pattern(width, height)
    scale = max(1, height // (GLYPH_ROWS * 5))
    label = text_mask(f"hop {segment.hop}", scale)
    for at in frame_times(segment, frames.fps):
        drift = at * _DRIFT // 1000 % _PERIOD
        samples[:height] = pattern[:, drift : drift + width]
        clock = text_mask(f"{at // 1000}.{at % 1000 // 100}s", scale)
        _stamp(samples[:height], clock, row=height // 2 - GLYPH_ROWS * scale, column=GLYPH_COLUMNS * scale)
        _stamp(samples[:height], label, row=height // 2 + 2 * scale, column=GLYPH_COLUMNS * scale)
        yield at, samples


def _pattern(width: int, height: int) -> Plane:
    """Return a diagonal triangle wave, one period wider than the frame, so that each drift is a slice of it."""
    import numpy as np

    x = np.arange(width + _PERIOD)[None, :]
    y = np.arange(height)[:, None]
    wave = np.abs((x + y) % _PERIOD - _PERIOD // 2)
    pattern: Plane = (70 + wave).astype(np.uint8)
    return pattern


def _stamp(plane: Plane, mask: NDArray[np.bool_], *, row: int, column: int) -> None:
    """Draw `mask` in ink on a box of paper, cut off at the edges of a small frame."""
    import numpy as np

    window = plane[row : row + mask.shape[0], column : column + mask.shape[1]]
    window[:] = np.where(mask[: window.shape[0], : window.shape[1]], _INK, _PAPER)


def _chroma(hue: int) -> tuple[int, int]:
    """Return BT.601 U and V of a soft colour with a hue in degrees."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, 0.6, 0.8)
    u = 128 + 224 * (-0.169 * red - 0.331 * green + 0.5 * blue)
    v = 128 + 224 * (0.5 * red - 0.419 * green - 0.081 * blue)
    return round(u), round(v)
