"""The audio of an assembled film as packets: both parts' copied, or coded again as AAC, with silence where none is.

What lies outside a part's frames is left out. Copied audio joins packet by packet: it may start up to one packet
(21 ms of AAC) late after the seam, so that nothing overlaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.join.clip import Clip, audio_of
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
    """Return the packets of both, unchanged but for their instants. Adds the stream now."""
    with open_video(parent.path) as (container, _):
        source = audio_of(container)
        if source is None or source.time_base is None:
            raise FrameError("the parent's sound can't be read")
        stream = out.add_stream_from_template(source, opaque=True)
        tick_s = source.time_base
    return _copied(stream, parent, segment, tick_s)


def encoded_audio(out: OutputContainer, parent: Clip, segment: Clip) -> Iterator[Packet[AudioStream]]:
    """Return code both again as AAC, silence where a part has none or can't be decoded. Adds the stream now.

    The film takes the higher of both sampling rates, and stereo where one part has more than one channel.
    """
    codings = [part.audio for part in (parent, segment) if part.audio is not None]
    if not codings:
        raise FrameError("neither part has sound")
    rate = max(coding.rate if coding.rate in _RATES else 48_000 for coding in codings)
    layout = "stereo" if any(coding.channels > 1 for coding in codings) else "mono"
    stream = out.add_stream("aac", rate=rate)
    stream.layout = layout
    stream.bit_rate = 160_000
    return _encoded(stream, parent, segment, rate, layout)


class Readable(StrEnum):
    """How much of a part's audio can be decoded."""

    WHOLE = "whole"
    PARTLY = "partly"
    NOT = "not"


def readable_audio(part: Clip) -> Readable:
    """Decode all of the part's audio, and return how much of it could be decoded."""
    try:
        decoded = [frame is not None for frame in _frames(part)]
    except FrameError:
        return Readable.NOT
    if not any(decoded):
        return Readable.NOT
    return Readable.WHOLE if all(decoded) else Readable.PARTLY


def _copied(stream: AudioStream, parent: Clip, segment: Clip, tick_s: Fraction) -> Iterator[Packet[AudioStream]]:
    seam = round(parent.duration_s / tick_s)
    free = None
    for part, begins in ((parent, 0), (segment, seam)):
        late = None
        with open_video(part.path) as (container, _):
            source = audio_of(container)
            if source is None or source.time_base is None:
                raise FrameError("the sound can't be read")
            for packet in container.demux(source):
                if packet.size == 0 or packet.pts is None:
                    continue
                at_s = packet.pts * source.time_base - part.start_s
                # What lies before the frames only starts the decoder; at the seam it would be heard.
                if at_s >= part.duration_s or (part is segment and (at_s < 0 or packet.is_discard)):
                    continue
                at = round(at_s / tick_s) + begins
                if late is None:
                    late = max(0, free - at) if free is not None else 0
                packet.duration = round((packet.duration or 0) * source.time_base / tick_s)
                packet.pts = packet.dts = at + late
                packet.time_base = tick_s
                # The header may cut the last packet short; its decoder plays all of it.
                whole = round(Fraction(source.codec_context.frame_size, source.codec_context.sample_rate) / tick_s)
                free = at + late + max(packet.duration, whole)
                packet.stream = stream
                yield packet


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
    """Return the audio under the part's frames, shape (channels, samples): silent where the part has none."""
    import av
    import numpy as np

    total = round(part.duration_s * rate)
    samples = np.zeros((1 if layout == "mono" else 2, total), dtype=np.float32)
    if part.audio is None:
        return samples

    def place(pieces: list[AudioFrame], at: int) -> int:
        for piece in pieces:
            block = np.asarray(piece.to_ndarray(), dtype=np.float32)
            inside = block[:, max(0, -at) : max(0, total - at)]
            samples[:, max(0, at) : max(0, at) + inside.shape[1]] = inside
            at += block.shape[1]
        return at

    resampler, kind = None, None
    written = 0  # samples up to here
    expected_s = 0.0  # when the next frame starts where nothing is missing
    for frame in _frames(part):
        if frame is None:
            continue
        start_s = expected_s if frame.time is None else frame.time - float(part.start_s)
        own = (frame.sample_rate, frame.layout.name, frame.format.name)
        # A gap in the audio stays one: what follows would be heard earlier with each.
        if resampler is None or own != kind or abs(start_s - expected_s) > _GAP_S:
            if resampler is not None:
                place(resampler.resample(None), written)
            resampler, kind = av.AudioResampler(format="fltp", layout=layout, rate=rate), own
            written = round(start_s * rate)
        written = place(resampler.resample(frame), written)
        expected_s = start_s + frame.samples / frame.sample_rate
    if resampler is not None:
        place(resampler.resample(None), written)
    return samples


def _frames(part: Clip) -> Iterator[AudioFrame | None]:
    """Decode the part's audio; None stands for each packet that can't be decoded. FrameError where none can."""
    import av

    with open_video(part.path) as (container, _):
        source = audio_of(container)
        if source is None:
            raise FrameError("the sound can't be read")
        for packet in container.demux(source):
            try:
                frames = source.decode(packet)
            except av.FFmpegError:
                yield None
                continue
            yield from (frame if frame.sample_rate and frame.samples else None for frame in frames)
