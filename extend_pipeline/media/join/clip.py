"""One part of an assembled film: the instants and the coding of its video frames, and the coding of its audio."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from extend_pipeline.media.frames import read_packets
from extend_pipeline.media.libav import FrameError, end_of, open_video
from extend_pipeline.media.upright import Turn, turn_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream


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
    """The properties of a file's packets. All instants are in ticks of `tick_s` seconds.

    `starts`: when each frame is shown, in order. `end`: when the last one stops. `dts`: when each packet is decoded,
    in the file's order; `next_dts`: when a packet after the last could be. `clean_start`: the first frame is a
    keyframe. `hidden`: some stored packets are not shown. `changes`: the decoder's parameters change within the file.
    `audio` is None if there is none, or none in a supported codec; `unknown_audio` is true in the latter case.
    """

    path: Path
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


def audio_of(container: InputContainer) -> AudioStream | None:
    """Return the first audio stream in a supported codec, None if there is none."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def read_clip(path: Path) -> Clip:
    """Read the file's packets and decode its first frame. Raises FrameError, OSError."""
    with open_video(path) as (container, stream):
        return _clip(path, container, stream, _audio_coding(container))


def _audio_coding(container: InputContainer) -> AudioCoding | None:
    stream = audio_of(container)
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


def _clip(path: Path, container: InputContainer, stream: VideoStream, audio: AudioCoding | None) -> Clip:
    source = None if audio is None else audio_of(container)
    packets = read_packets(container, stream, [] if source is None else [source])
    shown = [packet for packet in packets.shown if packet.pts is not None]
    spans = [(packet.pts or 0, packet.duration) for packet in shown]
    frame = packets.first
    if frame is None or not shown or stream.time_base is None:
        raise FrameError("the file has no video frame that can be decoded")
    starts = tuple(sorted(start for start, _ in spans))
    end = end_of(spans)
    if len(set(starts)) != len(starts) or end <= starts[-1]:
        raise FrameError("the video frames' times are not in order")
    context = stream.codec_context
    decoded_at = _decode_times([start for start, _ in spans], [packet.dts for packet in shown])
    return Clip(
        path=path,
        video=VideoCoding(
            codec=context.name,
            parameters=bytes(context.extradata or b""),
            width=frame.width,
            height=frame.height,
            pixel_format=frame.format.name,
            pixel_aspect=context.sample_aspect_ratio or Fraction(1),
            turn=turn_of(frame),
        ),
        tick_s=stream.time_base,
        starts=starts,
        end=end,
        dts=decoded_at,
        next_dts=decoded_at[-1] + shown[-1].duration,
        clean_start=shown[0].is_keyframe and shown[0].pts == starts[0],
        hidden=len(shown) < packets.count,
        changes=packets.changes,
        audio=audio if packets.others else None,
        unknown_audio=audio is None and bool(container.streams.audio),
    )
