"""One part of an assembled film, opened and read once: its packets, the instants and the coding of its video frames,
and the coding of its audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from extend_pipeline.media.check.probe import open_whole
from extend_pipeline.media.frames import FrameReader
from extend_pipeline.media.libav import FrameError, open_video
from extend_pipeline.media.upright import Turn, turn_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

MAX_HELD: Final = 256 << 20  # bytes of a part whose packets stay in memory; those of a larger one are read again


@dataclass(frozen=True, slots=True)
class VideoCoding:
    """The properties of coded video that a decoder needs before the first frame; equal means interchangeable.

    `parameters` are the decoder's parameters in the file's header (for H.264 in `avc1`: SPS and PPS).
    """

    codec: str
    parameters: bytes
    width: int
    height: int
    pixel_format: str
    pixel_aspect: Fraction
    turn: Turn

    @property
    def seen(self) -> tuple[int, int, Fraction]:
        """Return width, height and pixel aspect ratio as a viewer sees them, turned by the display matrix."""
        if self.turn.transposed:
            return self.height, self.width, 1 / self.pixel_aspect
        return self.width, self.height, self.pixel_aspect


@dataclass(frozen=True, slots=True)
class AudioCoding:
    """The properties of coded audio; equal means interchangeable. `rate` is in samples a second."""

    codec: str
    parameters: bytes
    rate: int
    channels: int
    layout: str


@dataclass(frozen=True, slots=True)
class Clip:
    """An open part and the properties of its packets. All instants are in ticks of `tick_s` seconds.

    `held`: the packets by the index of their stream, None if they are too large. `starts`: when each frame is shown, in
    order. `end`: when the last one stops. `dts`: when each packet is decoded, in the file's order; `next_dts`: when a
    packet after the last could be. `clean_start`: the first frame is a keyframe. `hidden`: some stored packets are not
    shown. `changes`: the decoder's parameters change within the file. `audio` is None if there is none, or none in a
    supported codec; `unknown_audio` is true in the latter case.
    """

    path: Path
    film: FrameReader
    held: Mapping[int, list[Packet[Any]]] | None
    video: VideoCoding
    tick_s: Fraction
    starts: tuple[int, ...]
    end: int
    dts: tuple[int, ...]
    next_dts: int
    clean_start: bool
    hidden: bool
    changes: bool
    audio: AudioCoding | None
    unknown_audio: bool

    def packets(self, stream: Stream) -> Iterator[Packet[Any]]:
        """Yield the packets of a stream of `film`, in the file's order. They can be changed, and then are not as they
        were read the next time."""
        if self.held is not None:
            yield from self.held.get(stream.index, ())
        else:
            with open_video(self.path) as (container, _):
                for packet in container.demux(container.streams[stream.index]):
                    if packet.size:
                        yield packet

    def instants(self, clock_s: Fraction) -> list[int]:
        """Return when each frame starts and the last one stops, in ticks of `clock_s` seconds after the first start."""
        ratio = self.tick_s / clock_s
        return [*map(scale(ratio, -self.first * ratio), (*self.starts, self.end))]

    @property
    def first(self) -> int:
        """Return when the first frame is shown, in ticks."""
        return self.starts[0]

    @property
    def start_s(self) -> Fraction:
        """Return when the first frame is shown, in seconds of the file's own clock."""
        return self.first * self.tick_s

    @property
    def duration_s(self) -> Fraction:
        """Return the seconds from the first frame's start to the last one's end."""
        return (self.end - self.first) * self.tick_s

    @property
    def rate(self) -> Fraction:
        """Return the average frames a second."""
        return len(self.starts) / self.duration_s

    @property
    def constant_frame_rate(self) -> bool:
        """Return whether all frames have the same length, within a tick of rounding."""
        lengths = [after - before for before, after in pairwise((*self.starts, self.end))]
        return max(lengths) - min(lengths) <= 2


def scale(ratio: Fraction, shift: Fraction | int = 0) -> Callable[[int], int]:
    """Return a function from ticks to `ticks * ratio + shift`, rounded; in integers, because calculating with a
    Fraction for each packet takes longer than copying the packet."""
    down = lcm(ratio.denominator, shift.denominator)
    up, added = int(ratio * down), int(shift * down) + down // 2
    return lambda ticks: (ticks * up + added) // down


def audio_of(container: InputContainer) -> AudioStream | None:
    """Return the first audio stream in a supported codec, None if there is none."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


class ReadPackets:
    """The packets of a file that is read to be joined. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[int, list[Packet[Any]]] | None = {} if path.stat().st_size <= MAX_HELD else None
        self._streams: set[int] = set()
        self._changed: set[int] = set()

    def keep(self, packet: Packet[Any]) -> None:
        """Take the next packet of the file."""
        index = packet.stream_index
        self._streams.add(index)
        if packet.has_sidedata("new_extradata"):
            self._changed.add(index)
        if self._held is not None:
            self._held.setdefault(index, []).append(packet)

    def clip(self, film: FrameReader) -> Clip:
        """Return the clip of the open file whose packets were kept. Raises FrameError if it can't be joined."""
        audio = audio_of(film.container)
        coding = _audio_coding(audio)
        return _clip(
            self._path,
            film,
            self._held,
            changes=film.stream.index in self._changed,
            audio=coding if audio is not None and audio.index in self._streams else None,
            unknown_audio=coding is None and bool(film.container.streams.audio),
        )


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """Open a whole file, read its packets, decode its first frame, and keep it open. Raises FrameError if the file is
    not whole or can't be joined, OSError."""
    packets = ReadPackets(path)
    with open_whole(path, packets.keep) as (_, film):
        yield packets.clip(film)


def _audio_coding(stream: AudioStream | None) -> AudioCoding | None:
    if stream is None or not stream.codec_context.sample_rate or not stream.codec_context.channels:
        return None
    context = stream.codec_context
    return AudioCoding(
        codec=context.name,
        parameters=bytes(context.extradata or b""),
        rate=context.sample_rate,
        channels=context.channels,
        layout=context.layout.name,
    )


def _decode_times(shown: list[int], stored: list[int | None]) -> tuple[int, ...]:
    """Return when each packet is decoded. If the container does not store it (Matroska), derive it: in the order in
    which frames are shown, early enough for each."""
    known = tuple(tick for tick in stored if tick is not None)
    if len(known) == len(shown):
        return known
    ordered = sorted(shown)
    ahead = max(tick - start for tick, start in zip(ordered, shown, strict=True))
    return tuple(tick - ahead for tick in ordered)


def _clip(
    path: Path,
    film: FrameReader,
    held: Mapping[int, list[Packet[Any]]] | None,
    *,
    changes: bool,
    audio: AudioCoding | None,
    unknown_audio: bool,
) -> Clip:
    shown = [packet for packet in film.packets.shown if packet.pts is not None]
    starts, frame, context = tuple(film.ticks), film.packets.first, film.stream.codec_context
    if frame is None or not starts:
        raise FrameError("the file has no video frame that can be decoded")
    if len(starts) != len(shown) or film.end <= starts[-1]:
        raise FrameError("the video frames' times are not in order")
    decoded_at = _decode_times([packet.pts or 0 for packet in shown], [packet.dts for packet in shown])
    return Clip(
        path=path,
        film=film,
        held=held,
        video=VideoCoding(
            codec=context.name,
            parameters=bytes(context.extradata or b""),
            width=frame.width,
            height=frame.height,
            pixel_format=frame.format.name,
            pixel_aspect=context.sample_aspect_ratio or Fraction(1),
            turn=turn_of(frame),
        ),
        tick_s=film.tick_s,
        starts=starts,
        end=film.end,
        dts=decoded_at,
        next_dts=decoded_at[-1] + shown[-1].duration,
        clean_start=shown[0].is_keyframe and shown[0].pts == starts[0],
        hidden=len(shown) < film.packets.count,
        changes=changes,
        audio=audio,
        unknown_audio=unknown_audio,
    )
