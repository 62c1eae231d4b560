"""Previews of a poster's panels, inside its file. Dagster's UI shows an image without a click only if its markdown has
fewer than 1,000 characters, which is far less than the poster; each panel therefore has a preview that is small enough.

They are application segments of the JPEG, which programs that show the poster skip. The worker that decodes the film
makes them, so that no other process decodes anything of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

PREVIEW_BYTES: Final = 700  # 936 characters in base64, with room for the words around it
MAX_SIDE: Final = 128  # pixels
MIN_SIDE: Final = 24  # below it nothing can be recognised
QUALITY: Final = 20  # WebP's, of 100

_SEGMENT: Final = b"\xff\xef"  # application segment 15
_NAME: Final = b"extend_pipeline preview\0"
_START: Final = b"\xff\xd8"


def draw_previews(panels: Sequence[VideoFrame]) -> list[bytes]:
    """Return a small WebP image of each panel; none at all if one of them does not fit into `PREVIEW_BYTES`."""
    previews = [_preview(panel) for panel in panels]
    return [preview for preview in previews if preview is not None] if None not in previews else []


def _preview(panel: VideoFrame) -> bytes | None:
    small, side = panel, MAX_SIDE
    while side >= MIN_SIDE:
        small = _scaled(small, side)  # from the size before, because scaling a large frame takes longest
        webp = _webp(small)
        if len(webp) <= PREVIEW_BYTES:
            return webp
        side = int(0.95 * side * math.sqrt(PREVIEW_BYTES / len(webp)))  # bytes grow with the area, or less
    return None


def _scaled(frame: VideoFrame, longest: int) -> VideoFrame:
    scale = longest / max(frame.width, frame.height)
    width, height = (max(2, round(side * scale) & ~1) for side in (frame.width, frame.height))
    return frame.reformat(width=width, height=height, format="yuv420p", interpolation="AREA", threads=1)


def _webp(frame: VideoFrame) -> bytes:
    import av

    encoder = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 1)
    encoder.thread_count = 1
    encoder.options = {"quality": str(QUALITY)}
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def segments_of(previews: Sequence[bytes]) -> bytes:
    """Return the segments that hold previews."""
    data = [_NAME + preview for preview in previews]
    return b"".join(_SEGMENT + (len(each) + 2).to_bytes(2, "big") + each for each in data)


def with_segments(jpeg: bytes, segments: bytes) -> bytes:
    """Return a JPEG with segments after its first marker."""
    return _START + segments + jpeg.removeprefix(_START)


def split(jpeg: bytes) -> tuple[bytes, list[bytes]]:
    """Return a JPEG without its previews, and the previews; none for a poster of an earlier version."""
    previews: list[bytes] = []
    at = len(_START)
    while jpeg.startswith(_SEGMENT, at):
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        data = jpeg[at + 4 : end]
        if not data.startswith(_NAME):
            break
        previews.append(data.removeprefix(_NAME))
        at = end
    return _START + jpeg[at:] if previews else jpeg, previews
