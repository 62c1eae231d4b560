"""Frames as a viewer sees them: a film may be stored turned or mirrored, with a mark (display matrix) for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight ways to turn and mirror a frame by quarters: transpose first, then mirror.

    `odd`: the mark asks for something else (an angle between quarters), which is not applied here.
    """

    transposed: bool = False
    left_right: bool = False
    upside_down: bool = False
    odd: bool = False


STANDING: Final = Turn()


def turn_of(frame: VideoFrame) -> Turn:
    """Return how a decoded frame has to be turned to be seen upright."""
    mark: Any = frame.side_data.get("DISPLAYMATRIX")
    if mark is None:
        return STANDING
    a, b, _, c, d, *_ = struct.unpack_from("=9i", bytes(mark))
    return _turn(a, b, c, d)


def upright(frame: VideoFrame) -> VideoFrame:
    """Return the frame as it is seen: itself where nothing is to be turned, else a new one in yuv420p."""
    import av
    import numpy as np

    turn = turn_of(frame)
    if not (turn.transposed or turn.left_right or turn.upside_down):
        return frame
    width, height = frame.width & ~1, frame.height & ~1
    flat = np.asarray(frame.reformat(width=width, height=height, format="yuv420p").to_ndarray(), dtype=np.uint8)
    planes, at = [], 0
    flat = flat.reshape(-1)
    for halved in (1, 2, 2):
        rows, columns = height // halved, width // halved
        planes.append(_turned(flat[at : at + rows * columns].reshape(rows, columns), turn).reshape(-1))
        at += rows * columns
    seen_width, seen_height = (height, width) if turn.transposed else (width, height)
    seen = av.VideoFrame.from_ndarray(
        np.concatenate(planes).reshape(seen_height * 3 // 2, seen_width), format="yuv420p"
    )
    seen.pts, seen.time_base = frame.pts, frame.time_base
    seen.colorspace, seen.color_range = frame.colorspace, frame.color_range
    return seen


def _turn(a: int, b: int, c: int, d: int) -> Turn:
    """Return the turn of a display matrix, by which (x, y) is seen at (ax + cy, bx + dy), y pointing down."""
    if a and d and not b and not c:
        return Turn(left_right=a < 0, upside_down=d < 0)
    if b and c and not a and not d:
        return Turn(transposed=True, left_right=c < 0, upside_down=b < 0)
    return Turn(odd=True)


def _turned(plane: np.ndarray, turn: Turn) -> np.ndarray:
    seen = plane.T if turn.transposed else plane
    if turn.left_right:
        seen = seen[:, ::-1]
    return seen[::-1] if turn.upside_down else seen
