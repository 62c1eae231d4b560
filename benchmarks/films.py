"""Textured films of real sizes, put where a sandbox looks for its own, so that it needs not draw them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from extend_pipeline.sandbox.faults import seeded_random
from extend_pipeline.sandbox.media.drawing import Frames
from extend_pipeline.sandbox.media.library import MediaLibrary

if TYPE_CHECKING:
    import av

FPS: Final = 24
_KEY_EVERY_S: Final = 2
_X264: Final = {
    "preset": "ultrafast",
    "crf": "26",
    "x264-params": f"bframes=0:open-gop=0:keyint={FPS * _KEY_EVERY_S}:scenecut=0:threads=2",
}


def place_films(state: Path, *, width: int, height: int, source_ms: int, hops: int) -> list[int]:
    """Write the films of a source of `source_ms` and its hops into a sandbox's state; each begins with the one before,
    packet by packet. Return their lengths (ms)."""
    library = MediaLibrary(state / "media", Frames(width, height, FPS))
    lengths, keys = [source_ms], [f"length-{source_ms}"]
    for _ in range(hops):
        added = seeded_random.draw_added_ms(0, str(lengths[-1]))
        lengths.append(lengths[-1] + added)
        keys.append(f"{keys[-1]}+{added}")
    whole = state / "whole.mp4"
    _encode(whole, width, height, frames=round(lengths[-1] * FPS / 1000))
    for length, key in zip(lengths, keys, strict=True):
        _beginning(whole, library.path(key), packets=round(length * FPS / 1000))
    whole.unlink()
    return lengths


def _encode(path: Path, width: int, height: int, *, frames: int) -> None:
    """Encode a texture that moves by a pixel and a half a frame, with a little grain."""
    import av
    import numpy as np

    random = np.random.default_rng(0)
    coarse = random.integers(40, 216, (height // 8 + 40, width // 8 + 400), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((8, 8), dtype=np.uint8))
    texture += random.integers(0, 12, texture.shape, dtype=np.uint8)
    plane = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=FPS, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            left = int(number * 1.5) % (texture.shape[1] - width)
            plane[:height] = texture[:height, left : left + width]
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _beginning(whole: Path, path: Path, *, packets: int) -> None:
    """Copy the first packets of a film whose packets are in the order of display."""
    import av

    with av.open(str(whole)) as film, av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream_from_template(film.streams.video[0])
        for packet in _first(film, packets):
            packet.stream = stream
            output.mux(packet)


def _first(film: av.container.InputContainer, packets: int) -> Sequence[Any]:
    return [packet for packet in film.demux(film.streams.video[0]) if packet.pts is not None][:packets]
