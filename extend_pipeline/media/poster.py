"""The poster strip: three frames side by side, by which a person judges an extension without opening the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.frames import Clip, open_clip
from extend_pipeline.media.libav import FrameError

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame

PANEL_WIDTHS: Final = (200, 160, 120, 80, 48)  # the first that fits; below 48 nobody recognises anything
MAX_PANEL_HEIGHT: Final = 360  # an upright 9:16 frame 200 wide is 356 high
QUALITIES: Final = (4, 8, 14, 22, 31)  # mjpeg's quantiser: 2 is the best, 31 the coarsest
SEAM_SLACK_S: Final = 0.01  # durations are kept in whole milliseconds, frames start at fractions of one


def make_poster(
    *,
    parent: Path | None,
    result: Path,
    parent_ms: int | None,
    max_bytes: int = 10_000,
    segment: bool = False,
) -> bytes:
    """Return a JPEG strip of at most `max_bytes`: the parent's last frame | the first new one | the result's last one.

    Without a parent file, the first panel is the result's own frame just before `parent_ms`; without `parent_ms` too,
    its first frame, and the middle panel is half-way. `segment` says that the result holds only the new part, which
    then starts with its first frame; a result that is no longer than the parent is taken for one.

    Raises FrameError where frames can't be decoded or no strip fits, OSError where a file can't be read.
    """
    with open_clip(result) as clip:
        before, new, last = _choose(clip, parent_ms=parent_ms, segment=segment)
        if parent is None:
            shown = clip.frames({before, new, last})
            panels = [shown[before], shown[new], shown[last]]
        else:
            shown = clip.frames({new, last})
            panels = [_last_frame(parent), shown[new], shown[last]]
        for width in PANEL_WIDTHS:
            strip = _strip(panels, width)
            for jpeg in _encodings(strip):
                if len(jpeg) <= max_bytes:
                    return jpeg
    raise FrameError(f"no poster fits into {max_bytes:,} bytes; allow more")


def _choose(clip: Clip, *, parent_ms: int | None, segment: bool) -> tuple[int, int, int]:
    """Return the indexes of the panels in the result: before the seam, after it, at the end."""
    last = len(clip.ticks) - 1
    if parent_ms is None:
        return 0, 0 if segment else last // 2, last
    first_new = None if segment else clip.first_from(parent_ms / 1000 - SEAM_SLACK_S)
    if first_new is None:
        return 0, 0, last
    return max(0, first_new - 1), first_new, last


def _last_frame(path: Path) -> VideoFrame:
    with open_clip(path) as clip:
        last = len(clip.ticks) - 1
        return clip.frames({last})[last]


def _strip(panels: Sequence[VideoFrame], width: int) -> np.ndarray:
    """Return the panels side by side as RGB, each `width` wide and as high as the first one's shape asks."""
    import numpy as np

    first = panels[0]
    height = min(MAX_PANEL_HEIGHT, max(2, round(width * first.height / first.width)))
    size = (width, height & ~1)  # even, because JPEG's chroma is halved
    return np.hstack([np.asarray(_fit(panel, size).to_ndarray(), dtype=np.uint8) for panel in panels])


def _fit(frame: VideoFrame, size: tuple[int, int]) -> VideoFrame:
    """Return the frame scaled to a size. Averaging over an area keeps a much smaller frame free of shimmer."""
    return frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA")


def _encodings(strip: np.ndarray) -> Iterator[bytes]:
    """Yield the strip as JPEG, from the best quality to the worst."""
    from fractions import Fraction

    import av

    frame = av.VideoFrame.from_ndarray(strip, format="rgb24").reformat(format="yuvj420p", dst_color_range="JPEG")
    for quality in QUALITIES:
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height = frame.width, frame.height
        encoder.pix_fmt = "yuvj420p"
        encoder.time_base = Fraction(1, 1)
        encoder.thread_count = 1
        encoder.options = {"qmin": str(quality), "qmax": str(quality)}
        yield b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
