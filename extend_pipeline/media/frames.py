"""The packets of an open film, and selected frames by their instant, decoded without reading the whole file again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from extend_pipeline.media.check.sample_table import MAX_VIDEO_SAMPLES
from extend_pipeline.media.libav import FrameError, end_of, open_video, reading
from extend_pipeline.media.upright import upright

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_WHOLE_FRAMES: Final = ("mp4", "matroska")
"""libav's names of the containers whose packets are whole frames; in a transport stream one may be a field."""


class ShownPacket(NamedTuple):
    """A packet whose frame is shown: its instant and length in ticks. `pts` is None if the container has none."""

    pts: int | None
    dts: int | None
    duration: int
    is_keyframe: bool


@dataclass(slots=True)
class PacketList:
    """The video packets of a file. `count` includes packets that an edit list hides. `first` is the first frame that
    could be decoded. `reached_s` is the end of the last packet of the streams that were read."""

    count: int = 0
    damaged: int = 0
    shown: list[ShownPacket] = field(default_factory=list)
    first: VideoFrame | None = None
    reached_s: float = 0.0


def read_packets(
    container: InputContainer,
    stream: VideoStream,
    also: Sequence[Stream] = (),
    each: Callable[[Packet[Any]], object] | None = None,
) -> PacketList:
    """Read every video packet, and those of other streams; decode as many as the first frame needs. `each` is called
    with every packet. Raises FrameError."""
    packets = PacketList()
    ends: dict[int, int] = {}
    for packet in container.demux(stream, *also):
        index = packet.stream.index
        if packet.size:
            begins = packet.pts if packet.pts is not None else packet.dts or 0
            ends[index] = max(ends.get(index, 0), begins + (packet.duration or 0))
            if each is not None:
                each(packet)
        if index != stream.index:
            continue
        if packets.first is None:
            packets.first = next(iter(stream.decode(packet)), None)
        if packet.size == 0 and packet.dts is None:
            continue  # the last packet only flushes the decoder
        packets.count += 1
        if packets.count > MAX_VIDEO_SAMPLES:
            raise FrameError(f"the file has more than {MAX_VIDEO_SAMPLES:,} video frames, the most allowed")
        packets.damaged += packet.is_corrupt
        if not packet.is_discard:
            packets.shown.append(ShownPacket(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe))
    ticks = {one.index: one.time_base or 0 for one in (stream, *also)}
    packets.reached_s = max((float(end * ticks[index]) for index, end in ends.items()), default=0.0)
    return packets


@dataclass(frozen=True)
class FrameReader:
    """Read frames of an open film whose packets have been read. Instants are in ticks of `tick_s` seconds."""

    container: InputContainer
    stream: VideoStream
    packets: PacketList

    @cached_property
    def ticks(self) -> Sequence[int]:
        """Return the instants of the frames, in order."""
        return sorted({packet.pts for packet in self.packets.shown if packet.pts is not None})

    @cached_property
    def keys(self) -> Sequence[int]:
        """Return the instants of the keyframes, in order."""
        return sorted(packet.pts for packet in self.packets.shown if packet.is_keyframe and packet.pts is not None)

    @cached_property
    def end(self) -> int:
        """Return when the last frame stops."""
        return end_of([(packet.pts, packet.duration) for packet in self.packets.shown if packet.pts is not None])

    @cached_property
    def tick_s(self) -> Fraction:
        """Return the seconds of a tick."""
        return self.stream.time_base or Fraction(0)

    def at_s(self, index: int) -> float:
        """Return the instant of a frame in seconds after the first one."""
        return (self.ticks[index] - self.ticks[0]) * self.tick_s.numerator / self.tick_s.denominator

    @property
    def duration_s(self) -> float:
        """Return the seconds from the first frame's start to the last one's end."""
        return float((self.end - self.ticks[0]) * self.tick_s)

    def nearest(self, at_s: float, *, key_within_s: float = 0.0) -> int:
        """Return the index of the frame whose start is nearest to an instant, in seconds after the first frame; that of
        the nearest keyframe if one is at most `key_within_s` away."""
        target, scale = self._instant(at_s)
        if self.keys and key_within_s:
            key = _nearest(self.keys, target, scale)
            if Fraction(abs(key * scale - target), scale) * self.tick_s <= key_within_s:
                return bisect_left(self.ticks, key)
        return bisect_left(self.ticks, _nearest(self.ticks, target, scale))

    def first_from(self, at_s: float) -> int | None:
        """Return the index of the first frame that starts at an instant or later, None if no frame does."""
        target, scale = self._instant(at_s)
        index = bisect_left(self.ticks, ceil(Fraction(target, scale)))
        return index if index < len(self.ticks) else None

    def _instant(self, at_s: float) -> tuple[int, int]:
        """Return an instant, in seconds after the first frame, in ticks times the second number; exact like a Fraction,
        which takes several times as long."""
        seconds, parts = at_s.as_integer_ratio()
        scale = parts * self.tick_s.numerator
        return self.ticks[0] * scale + seconds * self.tick_s.denominator, scale

    def frames(self, indexes: Iterable[int]) -> dict[int, VideoFrame]:
        """Return the decoded frames, upright, by index. Raises FrameError if one can't be decoded."""
        requested = set(indexes)
        frames = self.decode(requested)
        if missing := requested - set(frames):
            raise FrameError(f"the video frame at {self.at_s(min(missing)):.2f} s can't be decoded")
        return frames

    def decode(self, indexes: Iterable[int]) -> dict[int, VideoFrame]:
        """Return those of the frames that can be decoded, upright, by index."""
        requested = {self.ticks[index]: index for index in indexes}
        decoded: dict[int, VideoFrame] = {}
        if (first := self.packets.first) is not None and first.pts in requested and not first.is_corrupt:
            decoded[first.pts] = first
        try:
            for group in self._groups(sorted(set(requested) - set(decoded))):
                self._decode(self._key_before(group[0]), set(group), into=decoded, sparing=True)
            # In an open GOP the frames before its keyframe need the GOP before, so decode from the beginning; a
            # transport stream finds its beginning only by an earlier instant.
            for early_s in (0, 10):
                if missing := set(requested) - set(decoded):
                    start = self.ticks[0] - round(early_s / self.tick_s)
                    self._decode(start, missing, into=decoded, sparing=False)
        except FrameError:
            pass  # another try would meet the same error
        return {requested[tick]: upright(frame) for tick, frame in decoded.items()}

    def _groups(self, ticks: Sequence[int]) -> list[list[int]]:
        """Group instants by their keyframe, because a seek between two of one group would decode frames twice."""
        groups: dict[int, list[int]] = {}
        for tick in ticks:
            groups.setdefault(bisect_right(self.keys, tick), []).append(tick)
        return list(groups.values())

    def _key_before(self, tick: int) -> int:
        """Return the instant of the last keyframe up to an instant; the instant itself if there is none."""
        number = bisect_right(self.keys, tick)
        return self.keys[number - 1] if number else tick

    def _decode(self, start: int, ticks: set[int], *, into: dict[int, VideoFrame], sparing: bool) -> None:
        """Decode from the keyframe at or before `start` until all of `ticks` are decoded, or to the end. `sparing`
        skips frames that no other frame needs. Raises FrameError."""
        sparing = sparing and any(name in self.container.format.name for name in _WHOLE_FRAMES)
        context = self.stream.codec_context
        missing, awaited = set(ticks), set(ticks)
        with reading():
            self.container.seek(start, stream=self.stream, backward=True)
            try:
                for packet in self.container.demux(self.stream):
                    skips = sparing and packet.pts is not None and packet.pts not in ticks
                    context.skip_frame = "NONREF" if skips else "DEFAULT"
                    for frame in self._frames_of(packet, awaited if sparing else None):
                        if frame.pts in missing and not frame.is_corrupt:
                            into[frame.pts] = frame
                            missing.remove(frame.pts)
                    if not missing or (sparing and not awaited):
                        return
            finally:
                context.skip_frame = "DEFAULT"

    def _frames_of(self, packet: Packet[VideoStream], awaited: set[int] | None) -> Iterator[VideoFrame]:
        """Yield the frames that a packet completes; after the last of the `awaited` ones, those that the decoder still
        holds, because it would return them only after further packets."""
        yield from self.stream.codec_context.decode(packet)
        if awaited and packet.pts in awaited:
            awaited.remove(packet.pts)
            if not awaited:
                yield from self.stream.codec_context.decode(None)


@contextmanager
def open_frames(path: Path) -> Iterator[FrameReader]:
    """Open a film and read its packets. Raises FrameError, OSError."""
    with open_video(path) as (container, stream):
        film = FrameReader(container, stream, read_packets(container, stream))
        if not film.ticks or stream.time_base is None:
            raise FrameError("there are no video frames in the file")
        yield film


def _nearest(ticks: Sequence[int], target: int, scale: int) -> int:
    after = bisect_left(ticks, -(-target // scale))
    return min(ticks[max(0, after - 1) : after + 1], key=lambda tick: abs(tick * scale - target))
