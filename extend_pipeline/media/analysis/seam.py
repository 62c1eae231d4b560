"""How well a result continues its parent: the parent's last frames compared with the result's at the same instants."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.frames import FrameReader

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame

LAST_FRAMES: Final = 5  # before the seam; several, so that one bad frame counts little
SAMPLED_AT: Final = (
    0.0,
    0.25,
    0.5,
    0.75,
)  # earlier instants, as shares of the parent, because a prefix matches everywhere
KEY_WITHIN: Final = 0.1  # share of the parent; a keyframe that near is sampled instead, because it is decoded alone
IDENTICAL_DB: Final = 99.0  # PSNR of identical frames is infinite; databases and charts need a number
# The same frame encoded again measures 30-45 dB, 28 dB at very low rates; two instants of one moving scene 10-22 dB.
# 25 dB lies between. A still scene matches at any instant, so frames alone can't classify it.
PREFIX_DB: Final = 25.0
_WORST_MSE: Final = 255.0**2
_ROWS: Final = 64  # compared at a time, so that the differences stay in the processor's cache


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


@dataclass(frozen=True, slots=True)
class ParentFrames:
    """The frames of a film that a result which continues it is compared with. `at_s` are their instants in seconds
    after the first frame, in order; the last `last` of them are the film's last frames. `interval_s` is the film's
    average time from frame to frame. Not every one of `frames` may be decoded."""

    at_s: Sequence[float]
    last: int
    interval_s: float
    frames: Mapping[float, VideoFrame]

    @property
    def end(self) -> VideoFrame | None:
        """Return the film's last frame, None if it is not decoded."""
        return self.frames.get(self.at_s[-1])

    @property
    def is_whole(self) -> bool:
        """Return whether all frames are decoded."""
        return len(self.frames) == len(self.at_s)

    def partners(self, after: FrameReader) -> dict[float, int]:
        """Return the result's frame with the nearest start to each instant, if it is at most `interval_s` away."""
        nearest = {at_s: after.nearest(at_s) for at_s in self.at_s}
        return {at_s: index for at_s, index in nearest.items() if abs(after.at_s(index) - at_s) <= self.interval_s}


def sampled(film: FrameReader) -> list[int]:
    """Return the indexes of a film's frames that a result is compared with, in order."""
    reach_s = KEY_WITHIN * film.duration_s
    earlier = {film.nearest(share * film.duration_s, key_within_s=reach_s) for share in SAMPLED_AT}
    return sorted(earlier | {*_last(film)})


def parent_frames(film: FrameReader, decoded: Mapping[int, VideoFrame]) -> ParentFrames:
    """Return those of a film's sampled frames that are decoded."""
    indexes = sampled(film)
    return ParentFrames(
        at_s=[film.at_s(index) for index in indexes],
        last=len(_last(film)),
        interval_s=film.duration_s / len(film.ticks),
        frames={film.at_s(index): decoded[index] for index in indexes if index in decoded},
    )


def measure_seam(before: ParentFrames, after: FrameReader, decoded: Mapping[int, VideoFrame]) -> Seam:
    """Compare a parent and its result, of which the first frame and the parent's partners are decoded; return
    UNMEASURED if a frame is missing."""
    partners = before.partners(after)
    end = before.end
    if end is None or not decoded.keys() >= {0, *partners.values()} or not before.frames.keys() >= partners.keys():
        return UNMEASURED
    errors = {at_s: _mse(before.frames[at_s], decoded[index]) for at_s, index in partners.items()}
    last = [errors[at_s] for at_s in before.at_s[-before.last :] if at_s in errors]
    psnr_db = _decibels(sum(last) / len(last)) if last else None
    earlier_db = (_decibels(errors[at_s]) for at_s in before.at_s[: -before.last] if at_s in errors)
    return Seam(
        psnr_db=psnr_db,
        parent_is_prefix=(
            psnr_db is not None
            and len(errors) == len(before.at_s)
            and all(decibels >= PREFIX_DB for decibels in (psnr_db, *earlier_db))
        ),
        compared_frames=len(last),
        joint_db=_decibels(_mse(end, decoded[0])),
    )


def samples(frame: VideoFrame, like: VideoFrame) -> np.ndarray:
    """Return a frame's Y, U and V samples at the size of another one (even, since chroma is halved)."""
    import numpy as np

    scaled = frame.reformat(width=like.width & ~1, height=like.height & ~1, format="yuv420p", threads=1)
    return np.asarray(scaled.to_ndarray(), dtype=np.uint8)


def _last(film: FrameReader) -> range:
    count = len(film.ticks)
    return range(max(0, count - LAST_FRAMES), count)


def _mse(old: VideoFrame, new: VideoFrame) -> float:
    """Return the mean squared error over Y, U and V samples at the old frame's size."""
    import numpy as np

    one, other = samples(old, old), samples(new, old)
    if np.array_equal(one, other):
        return 0.0
    total = 0.0
    for row in range(0, len(one), _ROWS):
        difference = np.subtract(one[row : row + _ROWS], other[row : row + _ROWS], dtype=np.int16).ravel()
        squares = difference.astype(np.float32)
        total += float(np.dot(squares, squares))
    return total / one.size


def _decibels(mse: float) -> float:
    """Return the peak signal-to-noise ratio of 8-bit samples, rounded to 0.01 dB and capped at IDENTICAL_DB."""
    return IDENTICAL_DB if mse == 0 else min(IDENTICAL_DB, round(10 * math.log10(_WORST_MSE / mse), 2))
