"""How well a result continues its parent: the parent's last frames compared with the result's at the same instants."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.frames import FrameReader, open_frames
from extend_pipeline.media.libav import FrameError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

LAST_FRAMES: Final = 5  # before the seam; several, so that one bad frame counts little
SAMPLED_AT: Final = (
    0.0,
    0.25,
    0.5,
    0.75,
)  # earlier instants, as shares of the parent, because a prefix matches everywhere
IDENTICAL_DB: Final = 99.0  # PSNR of identical frames is infinite; databases and charts need a number
# The same frame encoded again measures 30-45 dB, 28 dB at very low rates; two instants of one moving scene 10-22 dB.
# 25 dB lies between. A still scene matches at any instant, so frames alone can't classify it.
PREFIX_DB: Final = 25.0
_WORST_MSE: Final = 255.0**2


@dataclass(frozen=True, slots=True)
class Seam:
    """The measured similarity of a parent and its result.

    `psnr_db`: over the parent's last frames together, at most 99.0; None if no frame could be compared (the result is
    shorter than the parent, or one file can't be decoded). `parent_is_prefix`: the result begins with the parent.
    `compared_frames`: how many of the last frames `psnr_db` covers. `joint_db`: the parent's last frame compared with
    the result's first one, similar if the result is only the new part; None if not measured.
    """

    psnr_db: float | None
    parent_is_prefix: bool
    compared_frames: int
    joint_db: float | None = None


UNMEASURED: Final = Seam(psnr_db=None, parent_is_prefix=False, compared_frames=0)
"""The seam if one of both files can't be read."""


def measure_seam(*, parent: Path, result: Path) -> Seam:
    """Compare both files by time. Raises OSError if a file can't be read; content never raises."""
    try:
        with open_frames(parent) as before, open_frames(result) as after:
            return _measure(before, after)
    except FrameError:
        return UNMEASURED


def _measure(before: FrameReader, after: FrameReader) -> Seam:
    count = len(before.ticks)
    last = range(max(0, count - LAST_FRAMES), count)
    earlier = {before.nearest(share * before.duration_s) for share in SAMPLED_AT} - set(last)
    partners = {index: _partner(before, index, after) for index in (*last, *earlier)}
    old = before.frames(partners)
    new = after.frames({0, *(partner for partner in partners.values() if partner is not None)})

    def errors(indexes: Iterable[int]) -> list[float]:
        """Return the mean squared errors of the frames that have a partner in the result."""
        pairs = ((old[index], partners[index]) for index in indexes)
        return [_mse(frame, new[partner]) for frame, partner in pairs if partner is not None]

    last_errors, earlier_errors = errors(last), errors(earlier)
    psnr_db = _decibels(sum(last_errors) / len(last_errors)) if last_errors else None
    return Seam(
        psnr_db=psnr_db,
        parent_is_prefix=(
            psnr_db is not None
            and len(last_errors) == len(last)
            and len(earlier_errors) == len(earlier)
            and all(decibels >= PREFIX_DB for decibels in (psnr_db, *map(_decibels, earlier_errors)))
        ),
        compared_frames=len(last_errors),
        joint_db=_decibels(_mse(old[count - 1], new[0])),
    )


def _partner(before: FrameReader, index: int, after: FrameReader) -> int | None:
    """Return the result's frame with the nearest start; None if that is more than one of the parent's frames away."""
    at_s = before.at_s(index)
    nearest = after.nearest(at_s)
    max_distance_s = before.duration_s / len(before.ticks)
    return nearest if abs(after.at_s(nearest) - at_s) <= max_distance_s else None


def _mse(old: VideoFrame, new: VideoFrame) -> float:
    """Return the mean squared error over Y, U and V samples at the old frame's size (even, since chroma is halved)."""
    import numpy as np

    size = {"width": old.width & ~1, "height": old.height & ~1, "format": "yuv420p"}
    old_samples, new_samples = (
        np.asarray(frame.reformat(**size).to_ndarray(), dtype=np.int16)  # type: ignore[arg-type]
        for frame in (old, new)
    )
    return float(np.square((old_samples - new_samples).astype(np.float32)).mean())


def _decibels(mse: float) -> float:
    """Return the peak signal-to-noise ratio of 8-bit samples, rounded to 0.01 dB and capped at IDENTICAL_DB."""
    return IDENTICAL_DB if mse == 0 else min(IDENTICAL_DB, round(10 * math.log10(_WORST_MSE / mse), 2))
