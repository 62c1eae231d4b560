"""Frames as a viewer sees them: a film may be stored rotated or mirrored, with a display matrix that states it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight ways to rotate and mirror a frame by quarter turns: transpose first, then mirror.

    `unsupported`: the display matrix has another angle, which is not applied.
    """

    transposed: bool = False
    left_right: bool = False
    upside_down: bool = False
    unsupported: bool = False


NO_TURN: Final = Turn()


def turn_of(frame: VideoFrame) -> Turn:
    """Return the turn that makes a decoded frame upright."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return NO_TURN
    a, b, _, c, d, *_ = struct.unpack_from("=9i", bytes(matrix))
    # (x, y) is seen at (ax + cy, bx + dy), y pointing down
    if a and d and not b and not c:
        return Turn(left_right=a < 0, upside_down=d < 0)
    if b and c and not a and not d:
        return Turn(transposed=True, left_right=c < 0, upside_down=b < 0)
    return Turn(unsupported=True)


def upright(frame: VideoFrame) -> VideoFrame:
    """Return the frame itself if it needs no turn, else a turned copy in yuv420p."""
    turn = turn_of(frame)
    if not (turn.transposed or turn.left_right or turn.upside_down):
        return frame
    width, height = frame.width & ~1, frame.height & ~1
    turned = [
        _turned(plane, turn)
        for plane in planes(frame.reformat(width=width, height=height, format="yuv420p", threads=1))
    ]
    seen = frame_of(turned)
    seen.pts, seen.time_base = frame.pts, frame.time_base
    seen.colorspace, seen.color_range = frame.colorspace, frame.color_range
    return seen


def planes(frame: VideoFrame) -> list[np.ndarray]:
    """Return the Y, U and V samples of a yuv420p frame with even sides."""
    return planes_of(frame.to_ndarray())


def planes_of(samples: np.ndarray) -> list[np.ndarray]:
    """Return the Y, U and V samples of a yuv420p frame's array of shape (height * 3 / 2, width)."""
    import numpy as np

    height, width = samples.shape[0] * 2 // 3, samples.shape[1]
    chroma = height // 2, width // 2
    brightness, u, v = np.split(samples.reshape(-1), (height * width, samples.size - chroma[0] * chroma[1]))
    return [brightness.reshape(height, width), u.reshape(chroma), v.reshape(chroma)]


def frame_of(planes: Sequence[np.ndarray]) -> VideoFrame:
    """Return a yuv420p frame of these Y, U and V samples."""
    import av
    import numpy as np

    height, width = planes[0].shape
    samples = np.concatenate([plane.reshape(-1) for plane in planes])
    return av.VideoFrame.from_ndarray(samples.reshape(height * 3 // 2, width), format="yuv420p")


def _turned(plane: np.ndarray, turn: Turn) -> np.ndarray:
    seen = plane.T if turn.transposed else plane
    if turn.left_right:
        seen = seen[:, ::-1]
    return seen[::-1] if turn.upside_down else seen
