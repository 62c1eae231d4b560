"""Whether a file is a valid, whole film, and what it holds: counted from its packets, not taken from its header."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from extend_pipeline.media.check.container import NotVideo, recognise
from extend_pipeline.media.check.isobmff import StructureError
from extend_pipeline.media.check.movie import Movie, Track
from extend_pipeline.media.check.sample_table import MAX_VIDEO_SAMPLES
from extend_pipeline.media.frames import FrameReader, PacketList, read_packets
from extend_pipeline.media.libav import FrameError, end_of, open_video
from extend_pipeline.media.upright import turn_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

MIN_SIDE: Final = 16  # one macroblock; no provider makes films near it
MAX_SIDE: Final = 8_192  # 8K, and twice the side of a 4K portrait; libav allocates width × height per frame
MAX_DURATION_MS: Final = 6 * 3_600_000  # the longest film that any provider makes lasts three minutes
DURATION_SLACK_S: Final = 0.5  # encoders count the last frame and the start of B-frames differently
DURATION_SLACK_SHARE: Final = 0.02  # and round each frame to a millisecond


@dataclass(frozen=True, slots=True)
class Probe:
    """What the file holds. `duration_ms` and `frames` are counted from the video packets that are present and shown:
    last pts + its duration − first pts. `width` and `height` are those that a viewer sees: a display matrix that turns
    the film by a quarter swaps them. `fps` is the average rate, None if it is not known."""

    duration_ms: int
    width: int
    height: int
    codec: str
    frames: int
    fps: float | None
    has_audio: bool


@dataclass(frozen=True, slots=True)
class ValidFile:
    """The file is whole."""

    probe: Probe


@dataclass(frozen=True, slots=True)
class InvalidFile:
    """The file is not whole, or not a video; `reason` is a sentence for the operator.

    `kept` is the quarantined file's path relative to the store's root, None if the bytes were not kept. `sha256` is
    None unless a whole file came.
    """

    reason: str
    kept: str | None = None
    sha256: str | None = None


def is_plausible(probe: Probe) -> bool:
    """Return whether all values are within their bounds, which later code relies on."""
    return (
        0 < probe.duration_ms <= MAX_DURATION_MS
        and _size_fault(probe.width, probe.height) is None
        and 0 < probe.frames <= MAX_VIDEO_SAMPLES
        and (probe.fps is None or (math.isfinite(probe.fps) and probe.fps > 0))
        and probe.codec.isascii()
        and probe.codec.isprintable()
        and len(probe.codec) <= 40
    )


def check_file(
    path: Path,
    look: Callable[[Probe, FrameReader], None] | None = None,
    each: Callable[[Packet[Any]], object] | None = None,
) -> ValidFile | InvalidFile:
    """Compare a file's claims with its contents. Raises OSError; content never raises.

    `look` is called with the open film if it is whole, to read frames from it; an error that it lets through from libav
    makes the file invalid. `each` is called with the packets of all streams as they are read.
    """
    try:
        with open_whole(path, each) as (probed, film):
            if look is not None:
                look(probed, film)
            return ValidFile(probed)
    except FrameError as error:
        return InvalidFile(str(error))


@contextmanager
def open_whole(path: Path, each: Callable[[Packet[Any]], object] | None = None) -> Iterator[tuple[Probe, FrameReader]]:
    """Open a film, compare its claims with its contents, and yield what it holds. `each` is called with the packets of
    all streams as they are read. Raises FrameError if the film is not whole, OSError if it can't be read."""
    kind = recognise(path)
    if isinstance(kind, NotVideo):
        raise FrameError(kind.reason)
    try:
        with path.open("rb") as file:
            movie = kind.walk(file, path.stat().st_size)
    except StructureError as error:
        raise FrameError(str(error)) from error
    except struct.error as error:
        raise FrameError("a part of the file ends before its own fields do") from error
    if movie is not None and (fault := _header_fault(movie)):
        raise FrameError(fault)
    with open_video(path, kind=kind) as (container, stream):
        every = movie is None or each is not None
        others = [other for other in container.streams if other.index != stream.index] if every else []
        packets = read_packets(container, stream, others, each)
        probed = _probe(container, stream, packets)
        if movie is None:
            fault = _stream_fault(packets, declared_s=(container.duration or 0) / 1_000_000)
        else:
            fault = _mp4_fault(path, movie.video(stream.id), probed, packets)
        if fault:
            raise FrameError(fault)
        yield probed, FrameReader(container, stream, packets)


def _stream_fault(packets: PacketList, *, declared_s: float) -> str | None:
    """Return what a file outside the MP4 family declares and does not hold; None if they agree."""
    if packets.damaged:
        return f"{packets.damaged:,} of {packets.count:,} video frames are damaged or cut short"
    if packets.reached_s < declared_s - max(DURATION_SLACK_S, DURATION_SLACK_SHARE * declared_s):
        return (
            f"the file claims {declared_s:.2f} s, but what is in it ends at {packets.reached_s:.2f} s: "
            "the file was cut short"
        )
    return None


def _mp4_fault(path: Path, track: Track | None, probed: Probe, packets: PacketList) -> str | None:
    """Compare the header of an MP4 or QuickTime file with the packets that libav can read, because a file that was cut
    at 70 % with its header in front still reports its full duration (docs/architecture.md, "Media"). Raises FrameError.
    """
    if track is None:
        return "the video stream that libav found is not in the file's header"
    if packets.count != track.samples:
        # An edit list hides packets from a reader that applies it, so count again without it.
        with open_video(path, edits=False) as (container, stream):
            stored = read_packets(container, stream)
            _probe(container, stream, stored)
        packets = stored
    return _content_fault(track, probed=probed, packets=packets.count, damaged=packets.damaged)


def _header_fault(movie: Movie) -> str | None:
    """Return why the header alone makes the file invalid, None if it does not."""
    tracks = [track for track in movie.tracks if track.is_video]
    if not tracks:
        return "there is no video track in the file"
    for track in tracks:
        if track.coding == "encv":
            return "the video is encrypted"
        if track.samples == 0:
            return "the video track holds no frames"
        if fault := _size_fault(track.width, track.height):
            return fault
    return None


def _size_fault(width: int, height: int) -> str | None:
    if MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE:
        return None
    return f"the video claims to be {width} × {height}; sides from {MIN_SIDE} to {MAX_SIDE} are accepted"


def _content_fault(track: Track, *, probed: Probe, packets: int, damaged: int) -> str | None:
    """Return what the header claims and the packets do not hold; None if they agree."""
    if packets != track.samples:
        return f"the header claims {track.samples:,} video frames, but {packets:,} can be read: the file was cut short"
    if damaged:
        return f"{damaged:,} of {packets:,} video frames are damaged or cut short"
    if track.claimed_s is not None:
        slack_s = max(DURATION_SLACK_S, DURATION_SLACK_SHARE * track.claimed_s)
        if probed.duration_ms / 1000 < track.claimed_s - slack_s:
            return (
                f"the header claims {track.claimed_s:.2f} s, but the video lasts {probed.duration_ms / 1000:.2f} s: "
                "the file was cut short"
            )
    return None


def _probe(container: InputContainer, stream: VideoStream, packets: PacketList) -> Probe:
    """Return what the packets of an open file and its first frame show. Raises FrameError if that is not possible."""
    starts = ((packet.pts if packet.pts is not None else packet.dts, packet.duration) for packet in packets.shown)
    spans = [(start, duration) for start, duration in starts if start is not None]
    frame = packets.first
    if not spans or stream.time_base is None:
        raise FrameError("the video stream holds no frames")
    if frame is None:
        raise FrameError("not one video frame can be decoded")
    if fault := _size_fault(frame.width, frame.height):
        raise FrameError(fault)
    length = end_of(spans) - min(start for start, _ in spans)
    rate = stream.average_rate
    sides = (frame.width, frame.height)
    width, height = reversed(sides) if turn_of(frame).transposed else sides
    probed = Probe(
        duration_ms=round(length * stream.time_base * 1000),
        width=width,
        height=height,
        codec=stream.codec_context.name,
        frames=len(spans),
        fps=float(rate) if rate else None,
        has_audio=bool(container.streams.audio),
    )
    if not 0 < probed.duration_ms <= MAX_DURATION_MS:
        raise FrameError(f"the video claims to last {float(length * stream.time_base):,.3f} s")
    if not is_plausible(probed):
        raise FrameError("the file's video properties are not possible")
    return probed
