"""The poster strip: three frames side by side that show an extension without opening the film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.analysis.previews import draw_previews, segments_of, with_segments
from extend_pipeline.media.frames import FrameReader
from extend_pipeline.media.libav import FrameError

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame

PANEL_WIDTHS: Final = (200, 160, 120, 80, 48)  # the first that fits; below 48 nothing can be recognised
MAX_PANEL_HEIGHT: Final = 360  # an upright 9:16 frame 200 wide is 356 high
QUALITIES: Final = (4, 8, 14, 22, 31)  # mjpeg's quantiser: 2 is the best, 31 the coarsest
SEAM_SLACK_S: Final = 0.01  # durations are kept in whole milliseconds, frames start at fractions of one


def choose_panels(film: FrameReader, *, parent_ms: int | None, segment: bool) -> tuple[int, int, int]:
    """Return the indexes of the panels in a result: the last frame before the new part, the first new one, the last.

    The first is shown only where there is no parent file. Without `parent_ms` it is the result's first frame, and the
    middle panel is half-way. `segment`: the result holds only the new part, so the first new frame is its first one. A
    result that is no longer than the parent counts as a segment.
    """
    last = len(film.ticks) - 1
    if parent_ms is None:
        return 0, 0 if segment else last // 2, last
    first_new = None if segment else film.first_from(parent_ms / 1000 - SEAM_SLACK_S)
    if first_new is None:
        return 0, 0, last
    return max(0, first_new - 1), first_new, last


def draw_poster(panels: Sequence[VideoFrame], *, max_bytes: int) -> bytes:
    """Return a JPEG strip of three frames, of at most `max_bytes`: the parent's last one | the first new one | the
    result's last one. A preview of each is in it, unless they would take more than a quarter of `max_bytes`. Raises
    FrameError if no strip fits."""
    previews = segments_of(draw_previews(panels))
    if len(previews) > max_bytes // 4:
        previews = b""
    for width in PANEL_WIDTHS:
        strip = _strip(panels, width)
        for jpeg in _encodings(strip):
            if len(jpeg) + len(previews) <= max_bytes:
                return with_segments(jpeg, previews)
    raise FrameError(f"no poster fits into {max_bytes:,} bytes; allow more")


def _strip(panels: Sequence[VideoFrame], width: int) -> np.ndarray:
    """Return the panels side by side as RGB, each `width` pixels wide, with the first panel's aspect ratio."""
    import numpy as np

    first = panels[0]
    height = min(MAX_PANEL_HEIGHT, max(2, round(width * first.height / first.width))) & ~1  # JPEG's chroma is halved
    # averaging over an area keeps a much smaller frame free of shimmer; starting threads takes longer than scaling
    scaled = [
        panel.reformat(width=width, height=height, format="rgb24", interpolation="AREA", threads=1) for panel in panels
    ]
    return np.hstack([np.asarray(panel.to_ndarray(), dtype=np.uint8) for panel in scaled])


def _encodings(strip: np.ndarray) -> Iterator[bytes]:
    """Yield the strip as JPEG, from the best quality to the worst."""
    from fractions import Fraction

    import av

    frame = av.VideoFrame.from_ndarray(strip, format="rgb24").reformat(
        format="yuvj420p", dst_color_range="JPEG", threads=1
    )
    for quality in QUALITIES:
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height = frame.width, frame.height
        encoder.pix_fmt = "yuvj420p"
        encoder.time_base = Fraction(1, 1)
        encoder.thread_count = 1
        encoder.options = {"qmin": str(quality), "qmax": str(quality)}
        yield b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
