"""How well a result continues its parent: the parent's last frames against the result's at the same instants."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.frames import Clip, open_clip
from extend_pipeline.media.libav import FrameError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

LAST_FRAMES: Final = 5  # the seam is where a provider's model takes over; a few frames even out one bad one
SAMPLED_AT: Final = (0.0, 0.25, 0.5, 0.75)  # earlier instants, as shares of the parent: a prefix matches all along
IDENTICAL_DB: Final = 99.0  # PSNR of identical frames is infinite; databases and charts want a number
# The same frame encoded again measures 30-45 dB, 28 dB at very low rates; two instants of one moving scene 10-22 dB.
# 25 dB lies between. A scene that stands still matches at any instant, and can't be told apart by frames alone.
PREFIX_DB: Final = 25.0
_WORST_MSE: Final = 255.0**2


@dataclass(frozen=True, slots=True)
class Seam:
    """What was measured.

    `psnr_db`: over the parent's last frames together, at most 99.0; None where none could be compared (the result is
    shorter than the parent, or one of both can't be decoded). `parent_is_prefix`: the result begins with the parent.
    `compared_frames`: how many of the last frames `psnr_db` is over. `joint_db`: the parent's last frame against
    the result's first one, which are close where the result is only the new part; None where it was not measured.
    """

    psnr_db: float | None
    parent_is_prefix: bool
    compared_frames: int
    joint_db: float | None = None


UNMEASURED: Final = Seam(psnr_db=None, parent_is_prefix=False, compared_frames=0)
"""Of a pair of which one file can't be read."""


def measure_seam(*, parent: Path, result: Path) -> Seam:
    """Compare both files by time. Content never raises; OSError where a file can't be read."""
    try:
        with open_clip(parent) as before, open_clip(result) as after:
            return _measure(before, after)
    except FrameError:
        return UNMEASURED


def _measure(before: Clip, after: Clip) -> Seam:
    count = len(before.ticks)
    last = range(max(0, count - LAST_FRAMES), count)
    earlier = {before.nearest(share * before.duration_s) for share in SAMPLED_AT} - set(last)
    partners = {index: _partner(before, index, after) for index in (*last, *earlier)}
    old = before.frames(partners)
    new = after.frames({0, *(partner for partner in partners.values() if partner is not None)})

    def errors(indexes: Iterable[int]) -> list[float]:
        """Mean squared errors of the frames that have a partner in the result."""
        pairs = ((old[index], partners[index]) for index in indexes)
        return [_mse(frame, new[partner]) for frame, partner in pairs if partner is not None]

    at_end, on_the_way = errors(last), errors(earlier)
    psnr_db = _decibels(sum(at_end) / len(at_end)) if at_end else None
    return Seam(
        psnr_db=psnr_db,
        parent_is_prefix=(
            psnr_db is not None
            and len(at_end) == len(last)
            and len(on_the_way) == len(earlier)
            and all(decibels >= PREFIX_DB for decibels in (psnr_db, *map(_decibels, on_the_way)))
        ),
        compared_frames=len(at_end),
        joint_db=_decibels(_mse(old[count - 1], new[0])),
    )


def _partner(before: Clip, index: int, after: Clip) -> int | None:
    """Return the result's frame at the same instant: the nearest start, at most one of the parent's frames away."""
    at_s = before.at_s(index)
    near = after.nearest(at_s)
    reach_s = before.duration_s / len(before.ticks)
    return near if abs(after.at_s(near) - at_s) <= reach_s else None


def _mse(old: VideoFrame, new: VideoFrame) -> float:
    """Mean squared error over Y, U and V samples together, at the old frame's size (made even: chroma is halved)."""
    import numpy as np

    size = {"width": old.width & ~1, "height": old.height & ~1, "format": "yuv420p"}
    one, other = (
        np.asarray(frame.reformat(**size).to_ndarray(), dtype=np.int16)  # type: ignore[arg-type]
        for frame in (old, new)
    )
    return float(np.square((one - other).astype(np.float32)).mean())


def _decibels(mse: float) -> float:
    """Peak signal-to-noise ratio of 8-bit samples, rounded to a hundredth and capped."""
    return IDENTICAL_DB if mse == 0 else min(IDENTICAL_DB, round(10 * math.log10(_WORST_MSE / mse), 2))
