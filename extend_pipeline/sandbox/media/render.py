"""Encoding of source films, and of extensions as their parent's packets plus newly encoded ones.

The parent is copied packet by packet, never decoded, so that its child begins with it bit by bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from extend_pipeline.sandbox.media.drawing import Frames, Segment, draw

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    VideoPacket = av.Packet[VideoStream]

# Twelve ticks a millisecond, because then every frame time is exact and the mp4 muxer keeps the time base.
_TICKS_PER_MS = 12
_TIME_BASE = Fraction(1, 1000 * _TICKS_PER_MS)

# One thread and no look-ahead make the same bytes each time; without B-frames frames are decoded in display order.
_X264 = {
    "preset": "ultrafast",
    "crf": "30",
    "x264-params": "bframes=0:open-gop=0:keyint=240:scenecut=0:threads=1:sync-lookahead=0:rc-lookahead=0",
}


class ParentMismatch(RuntimeError):
    """A parent file has other encoder settings, so new frames cannot follow its packets."""


def render_source(path: Path, segment: Segment, frames: Frames) -> None:
    """Write a film without a parent to `path`, whole or not at all; its time begins at 0."""
    with _whole_file(path) as output:
        stream = output.add_stream("libx264", rate=frames.fps, options=dict(_X264))
        _configure(stream.codec_context, frames)
        for packet in _encode(stream.codec_context, segment, frames, origin_ms=segment.start_ms):
            packet.stream = stream
            output.mux(packet)


def render_extension(path: Path, parent: Path, segment: Segment, frames: Frames, *, origin_ms: int = 0) -> None:
    """Write the film `parent`, which begins at `origin_ms`, followed by `segment`, to `path`, whole or not at all.

    Raises ParentMismatch if the parent was encoded with another size, rate or encoder.
    """
    import av

    encoder = _encoder(frames)
    with _whole_file(path) as output, av.open(str(parent)) as source:
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.time_base = _TIME_BASE
        _require_same_headers(stream.codec_context.extradata, encoder.extradata, parent)
        for copied in source.demux(video=0):
            # the demuxer ends with an empty packet without a frame
            if copied.dts is not None:
                copied.stream = stream
                output.mux(copied)
        for packet in _encode(encoder, segment, frames, origin_ms=origin_ms):
            joined = _length_prefixed(packet)
            joined.stream = stream
            output.mux(joined)


@contextmanager
def _whole_file(path: Path) -> Iterator[OutputContainer]:
    """Yield a faststart mp4 that is renamed to `path` once it is complete."""
    import av

    part = path.with_name(f"{path.name}.part")
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as output:
        yield output
    part.replace(path)


def _encoder(frames: Frames) -> av.VideoCodecContext:
    import av

    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.options = dict(_X264)
    _configure(encoder, frames)
    encoder.open()
    return encoder


def _configure(encoder: av.VideoCodecContext, frames: Frames) -> None:
    from av.codec.context import Flags

    encoder.width, encoder.height, encoder.pix_fmt = frames.width, frames.height, "yuv420p"
    encoder.framerate = Fraction(frames.fps)
    encoder.time_base = _TIME_BASE
    encoder.thread_count = 1
    # mp4 has one copy of the parameter sets in its header, for the packets of parent and child
    encoder.flags |= Flags.global_header


def _encode(
    encoder: av.VideoCodecContext, segment: Segment, frames: Frames, *, origin_ms: int
) -> Iterator[VideoPacket]:
    """Yield packets with exact times, counted from `origin_ms`; the last packet ends the segment to the millisecond."""
    import av

    packets: list[VideoPacket] = []
    for at, samples in draw(segment, frames):
        frame = av.VideoFrame.from_ndarray(samples, format="yuv420p")
        frame.pts, frame.time_base = (at - origin_ms) * _TICKS_PER_MS, _TIME_BASE
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    end_ms = segment.start_ms + segment.length_ms - origin_ms
    ends = [packet.pts for packet in packets[1:]] + [end_ms * _TICKS_PER_MS]
    for packet, end in zip(packets, ends, strict=True):
        assert packet.pts is not None
        assert end is not None
        packet.duration = end - packet.pts
        packet.dts = packet.pts
        yield packet


def _length_prefixed(packet: VideoPacket) -> av.Packet[Stream]:
    """Replace Annex B start codes with the four-byte lengths that the parent's `avcC` header declares."""
    import av

    data = bytearray()
    for unit in _units(bytes(packet)):
        data += len(unit).to_bytes(4, "big") + unit
    joined = av.Packet(bytes(data))
    joined.pts, joined.dts, joined.duration = packet.pts, packet.dts, packet.duration
    joined.time_base, joined.is_keyframe = _TIME_BASE, packet.is_keyframe
    return joined


def _units(data: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B stream, split at start codes (00 00 01, with or without a zero before it)."""
    return [unit for piece in data.split(b"\0\0\1") if (unit := piece.rstrip(b"\0"))]


def _require_same_headers(parent_header: bytes | None, own_header: bytes | None, parent: Path) -> None:
    if not all(unit in (parent_header or b"") for unit in _units(own_header or b"\0")):
        message = (
            f"{os.fspath(parent)} was encoded with other settings than this sandbox has now. "
            "Start with the size and rate that the state directory was made with, or with a new directory."
        )
        raise ParentMismatch(message)
