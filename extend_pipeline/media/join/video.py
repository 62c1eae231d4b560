"""The video packets of an assembled film in decoding order: copied from both parts, or encoded again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.join.clip import Clip, scale
from extend_pipeline.media.join.plan import FrameSlot, common_clock, fit, frame_slots
from extend_pipeline.media.libav import FrameError, open_video
from extend_pipeline.media.upright import frame_of, planes, upright

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Visually lossless for generated scenes, because a film that is assembled hop by hop is encoded several times.
_X264: Final = {"preset": "fast", "crf": "16"}
_KEYFRAME_EVERY: Final = 60  # frames, so that players can seek and the next seam is decoded without the whole film


def copied_video(out: OutputContainer, parent: Clip, segment: Clip) -> Iterator[Packet[VideoStream]]:
    """Return the packets of both parts, unchanged except for their instants; the first frame is shown at 0. Adds the
    stream to `out` at once."""
    clock_s = common_clock(parent, segment)
    stream = out.add_stream_from_template(parent.film.stream, opaque=True)
    stream.time_base = clock_s
    return _copied(stream, parent, segment, clock_s)


def encoded_video(out: OutputContainer, parent: Clip, segment: Clip) -> Iterator[Packet[VideoStream]]:
    """Return the packets of both parts encoded again as H.264 yuv420p, upright, at the parent's size and rate; black
    borders fit the segment in.

    Adds the stream to `out` at once. Raises FrameError if the film would have too many frames.
    """
    clock_s = common_clock(parent, segment)
    try:
        segment_slots = frame_slots(parent, segment, clock_s)
    except ValueError as error:
        raise FrameError(str(error)) from error
    rate = Fraction(parent.rate).limit_denominator(1001) if 1 <= parent.rate <= 120 else Fraction(30)
    # The encoder uses the rate only as a hint; the frames keep their own instants.
    stream = out.add_stream("libx264", rate=rate, options=dict(_X264))
    width, height, pixel_aspect = parent.video.seen
    stream.width, stream.height = width & ~1, height & ~1
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.gop_size = _KEYFRAME_EVERY
    context.thread_count = 1  # several processes share the machine, and one thread makes the same bytes each time
    context.sample_aspect_ratio = pixel_aspect
    stream.time_base = context.time_base = clock_s
    original = parent.film.stream.codec_context
    context.colorspace, context.color_primaries = original.colorspace, original.color_primaries
    context.color_trc = original.color_trc
    return _encoded(stream, parent, segment, clock_s, segment_slots)


def _copied(stream: VideoStream, parent: Clip, segment: Clip, clock_s: Fraction) -> Iterator[Packet[VideoStream]]:
    seam = parent.instants(clock_s)[-1]
    # If the segment's encoder reorders frames further than the parent's, its first packet would be decoded before the
    # parent's last one: then the parent is decoded that much earlier. Its frames are shown at the same times.
    parent_next = (parent.next_dts - parent.first) * parent.tick_s
    segment_first = parent.duration_s + (segment.dts[0] - segment.first) * segment.tick_s
    early = max(0, round((parent_next - segment_first) / clock_s))
    for part, shift, ahead in ((parent, 0, early), (segment, seam, 0)):
        ratio = part.tick_s / clock_s
        length, instant = scale(ratio), scale(ratio, shift - part.first * ratio)
        decoded_at = iter(part.dts)
        for packet in part.packets(part.film.stream):
            if packet.pts is None or packet.is_discard:
                continue
            packet.duration = length(packet.duration or 0)
            packet.pts, packet.dts = instant(packet.pts), instant(next(decoded_at)) - ahead
            packet.time_base, packet.stream = clock_s, stream
            yield packet


def _encoded(
    stream: VideoStream, parent: Clip, segment: Clip, clock_s: Fraction, segment_slots: list[FrameSlot]
) -> Iterator[Packet[VideoStream]]:
    own = parent.instants(clock_s)
    parent_slots = [FrameSlot(index, own[index], own[index + 1]) for index in range(len(parent.starts))]
    lengths = {slot.start: slot.end - slot.start for slot in parent_slots}
    lengths |= {slot.start + own[-1]: slot.end - slot.start for slot in segment_slots}
    for part, slots, shift in ((parent, parent_slots, 0), (segment, segment_slots, own[-1])):
        for slot, decoded in _frames_for(slots, part):
            frame = _scaled(decoded, part, parent)
            frame.time_base = clock_s
            frame.pts = slot.start + shift
            frame.duration = slot.end - slot.start
            yield from _with_lengths(stream.encode(frame), lengths)
    yield from _with_lengths(stream.encode(None), lengths)


def _with_lengths(packets: list[Packet[VideoStream]], lengths: dict[int, int]) -> Iterator[Packet[VideoStream]]:
    """Yield the packets with their frames' own lengths, because the encoder assumes a constant frame rate."""
    for packet in packets:
        packet.duration = lengths.get(packet.pts or 0, packet.duration)
        yield packet


def _frames_for(slots: list[FrameSlot], part: Clip) -> Iterator[tuple[FrameSlot, VideoFrame]]:
    """Yield each slot with its decoded frame, decoding the part once. Raises FrameError if a frame is missing."""
    numbers = {tick: index for index, tick in enumerate(part.starts)}
    at = 0
    with open_video(part.path) as (container, source):
        for frame in container.decode(source):
            index = numbers.get(frame.pts) if frame.pts is not None else None
            while at < len(slots) and slots[at].index == index:
                yield slots[at], frame
                at += 1
            if at == len(slots):
                return
    if at < len(slots):
        missing_s = float((part.starts[slots[at].index] - part.first) * part.tick_s)
        raise FrameError(f"the video frame at {missing_s:.2f} s can't be decoded")


def _scaled(frame: VideoFrame, part: Clip, parent: Clip) -> VideoFrame:
    """Return a new frame in the film's format: the part's frame scaled without distortion, with black borders."""
    import numpy as np

    width, height = (side & ~1 for side in parent.video.seen[:2])
    inner_width, inner_height = fit(part.video, parent.video) if part is not parent else (width, height)
    scaled = upright(frame).reformat(
        width=inner_width,
        height=inner_height,
        format="yuv420p",
        interpolation="BICUBIC",
        dst_color_range="MPEG",
        threads=1,
    )
    left, top = (width - inner_width) // 4 * 2, (height - inner_height) // 4 * 2
    canvas = []
    for inner, divisor, black in zip(planes(scaled), (1, 2, 2), (16, 128, 128), strict=True):
        plane = np.full((height // divisor, width // divisor), black, dtype=np.uint8)
        y, x = top // divisor, left // divisor
        plane[y : y + inner.shape[0], x : x + inner.shape[1]] = inner
        canvas.append(plane)
    return frame_of(canvas)
