"""The audio packets of an assembled film: copied from both parts, or encoded again as AAC, with silence in gaps.

Audio outside a part's video frames is left out. Copied audio joins packet by packet: it may start up to one packet
(21 ms of AAC) late after the seam, so that no packets overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.join.clip import Clip, audio_of, scale
from extend_pipeline.media.libav import FrameError, open_video

if TYPE_CHECKING:
    import numpy as np
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

_RATES: Final = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # that AAC and every player know
_BLOCK: Final = 1024  # samples of one AAC packet
_GAP_S: Final = 0.005  # above what containers round by, below a packet of any codec


def copied_audio(out: OutputContainer, parent: Clip, segment: Clip) -> Iterator[Packet[AudioStream]]:
    """Return the packets of both parts, unchanged except for their instants. Adds the stream to `out` at once."""
    source, tick_s = _source(parent)
    return _copied(out.add_stream_from_template(source, opaque=True), parent, segment, tick_s)


def encoded_audio(out: OutputContainer, parent: Clip, segment: Clip) -> Iterator[Packet[AudioStream]]:
    """Return the packets of both parts encoded again as AAC, with silence for missing or undecodable audio. Adds the
    stream to `out` at once.

    The film has the higher of both sampling rates, and stereo if one part has more than one channel.
    """
    codings = [part.audio for part in (parent, segment) if part.audio is not None]
    if not codings:
        raise FrameError("neither part has audio")
    rate = max(coding.rate if coding.rate in _RATES else 48_000 for coding in codings)
    layout = "stereo" if any(coding.channels > 1 for coding in codings) else "mono"
    stream = out.add_stream("aac", rate=rate)
    stream.layout = layout
    stream.bit_rate = 160_000
    return _encoded(stream, parent, segment, rate, layout)


class Readable(StrEnum):
    """The share of a part's audio that can be decoded."""

    WHOLE = "whole"
    PARTLY = "partly"
    NOT = "not"


def readable_audio(part: Clip) -> Readable:
    """Return how much of the part's audio can be decoded, by decoding all of it."""
    try:
        decoded = [frame is not None for frame in _frames(part)]
    except FrameError:
        return Readable.NOT
    if not any(decoded):
        return Readable.NOT
    return Readable.WHOLE if all(decoded) else Readable.PARTLY


def _copied(stream: AudioStream, parent: Clip, segment: Clip, tick_s: Fraction) -> Iterator[Packet[AudioStream]]:
    seam = round(parent.duration_s / tick_s)
    next_free = None
    for part, offset in ((parent, 0), (segment, seam)):
        delay = None
        source, own_tick_s = _source(part)
        begin, end = (ceil(at_s / own_tick_s) for at_s in (part.start_s, part.start_s + part.duration_s))
        length = scale(own_tick_s / tick_s)
        instant = scale(own_tick_s / tick_s, offset - part.start_s / tick_s)
        # The header may shorten the last packet, but decoders play all of it.
        whole = round(Fraction(source.codec_context.frame_size, source.codec_context.sample_rate) / tick_s)
        for packet in part.packets(source):
            if packet.pts is None:
                continue
            # Packets before the frames only start the decoder; at the seam a player would play them.
            if packet.pts >= end or (part is segment and (packet.pts < begin or packet.is_discard)):
                continue
            at = instant(packet.pts)
            if delay is None:
                delay = max(0, next_free - at) if next_free is not None else 0
            packet.duration = length(packet.duration or 0)
            packet.pts = packet.dts = at + delay
            next_free = at + delay + max(packet.duration, whole)
            packet.time_base, packet.stream = tick_s, stream
            yield packet


def _source(part: Clip) -> tuple[AudioStream, Fraction]:
    """Return the part's audio stream and the seconds of its ticks."""
    source = audio_of(part.film.container)
    if source is None or source.time_base is None:
        raise FrameError("the audio can't be read")
    return source, source.time_base


def _encoded(stream: AudioStream, parent: Clip, segment: Clip, rate: int, layout: str) -> Iterator[Packet[AudioStream]]:
    import av
    import numpy as np

    at = 0
    rest = np.zeros((1 if layout == "mono" else 2, 0), dtype=np.float32)
    for part in (parent, segment):
        samples = np.concatenate([rest, _decoded(part, rate, layout)], axis=1)
        whole = samples.shape[1] // _BLOCK * _BLOCK if part is parent else samples.shape[1]
        for start in range(0, whole, _BLOCK):
            block = np.ascontiguousarray(samples[:, start : min(start + _BLOCK, whole)])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.time_base = Fraction(1, rate)
            frame.pts = at
            at += block.shape[1]
            yield from stream.encode(frame)
        rest = samples[:, whole:]
    yield from stream.encode(None)


def _decoded(part: Clip, rate: int, layout: str) -> np.ndarray:
    """Return the audio during the part's frames, shape (channels, samples), with silence where the part has none."""
    import av
    import numpy as np

    total = round(part.duration_s * rate)
    samples = np.zeros((1 if layout == "mono" else 2, total), dtype=np.float32)
    if part.audio is None:
        return samples

    def place(frames: list[AudioFrame], at: int) -> int:
        for frame in frames:
            block = np.asarray(frame.to_ndarray(), dtype=np.float32)
            inside = block[:, max(0, -at) : max(0, total - at)]
            samples[:, max(0, at) : max(0, at) + inside.shape[1]] = inside
            at += block.shape[1]
        return at

    resampler, input_format = None, None
    written = 0  # samples so far
    expected_s = 0.0  # when the next frame starts if no audio is missing
    for frame in _frames(part):
        if frame is None:
            continue
        start_s = expected_s if frame.time is None else frame.time - float(part.start_s)
        frame_format = (frame.sample_rate, frame.layout.name, frame.format.name)
        # A gap in the audio stays a gap, because without it all later audio would play too early.
        if resampler is None or frame_format != input_format or abs(start_s - expected_s) > _GAP_S:
            if resampler is not None:
                place(resampler.resample(None), written)
            resampler, input_format = av.AudioResampler(format="fltp", layout=layout, rate=rate), frame_format
            written = round(start_s * rate)
        written = place(resampler.resample(frame), written)
        expected_s = start_s + frame.samples / frame.sample_rate
    if resampler is not None:
        place(resampler.resample(None), written)
    return samples


def _frames(part: Clip) -> Iterator[AudioFrame | None]:
    """Yield the part's decoded audio frames, None for each packet that can't be decoded. Raises FrameError if the part
    has no readable audio stream."""
    import av

    with open_video(part.path) as (container, _):
        source = audio_of(container)
        if source is None:
            raise FrameError("the audio can't be read")
        for packet in container.demux(source):
            try:
                frames = source.decode(packet)
            except av.FFmpegError:
                yield None
                continue
            yield from (frame if frame.sample_rate and frame.samples else None for frame in frames)
