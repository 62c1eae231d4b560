"""The frames of an assembled film as packets in decoding order: both parts' copied, or coded again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.join.clip import Clip
from extend_pipeline.media.join.plan import FrameSlot, common_clock, fit, slots
from extend_pipeline.media.libav import FrameError, open_video
from extend_pipeline.media.upright import upright

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Visually lossless for generated scenes; a film that is assembled hop by hop may go through here several times.
_X264: Final = {"preset": "fast", "crf": "16"}
_KEYFRAME_EVERY: Final = 60  # frames: players can seek, and the next hop's seam is decoded without the whole film


def copied_video(out: OutputContainer, parent: Clip, segment: Clip) -> Iterator[Packet[VideoStream]]:
    """Return all packets of both, unchanged but for their instants; the first frame is shown at 0. Adds the stream
    now."""
    clock_s = common_clock(parent, segment)
    with open_video(parent.path) as (_, template):
        stream = out.add_stream_from_template(template, opaque=True)
    stream.time_base = clock_s
    return _copied(stream, parent, segment, clock_s)


def encoded_video(out: OutputContainer, parent: Clip, segment: Clip) -> Iterator[Packet[VideoStream]]:
    """Return code both again as H.264 yuv420p, upright, at the parent's size and rate; black borders fit the segment
    in.

    Adds the stream now. FrameError where that would take too many frames.
    """
    clock_s = common_clock(parent, segment)
    try:
        planned = slots(parent, segment, clock_s)
    except ValueError as error:
        raise FrameError(str(error)) from error
    rate = Fraction(parent.rate).limit_denominator(1001) if 1 <= parent.rate <= 120 else Fraction(30)
    # The rate only guides the encoder; the frames' own instants count.
    stream = out.add_stream("libx264", rate=rate, options=dict(_X264))
    width, height, pixel_aspect = parent.video.seen
    stream.width, stream.height = width & ~1, height & ~1
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.gop_size = _KEYFRAME_EVERY
    context.thread_count = 1  # several processes share the machine; and the same parts give the same bytes
    context.sample_aspect_ratio = pixel_aspect
    stream.time_base = context.time_base = clock_s
    with open_video(parent.path) as (_, source):
        told = source.codec_context
        context.colorspace, context.color_primaries = told.colorspace, told.color_primaries
        context.color_trc = told.color_trc
    return _encoded(stream, parent, segment, clock_s, planned)


def _copied(stream: VideoStream, parent: Clip, segment: Clip, clock_s: Fraction) -> Iterator[Packet[VideoStream]]:
    seam = _ticks(parent.duration_s, clock_s)
    # Where the segment's encoder looks further ahead than the parent's did, its first packet would be due before the
    # parent's last one: then the parent is decoded that much earlier. When its frames are shown does not change.
    parent_next = (parent.next_dts - parent.first) * parent.tick_s
    segment_first = parent.duration_s + (segment.dts[0] - segment.first) * segment.tick_s
    early = max(0, _ticks(parent_next - segment_first, clock_s))
    for part, shift, ahead in ((parent, 0, early), (segment, seam, 0)):
        decoded_at = iter(part.dts)
        with open_video(part.path) as (container, source):
            for packet in container.demux(source):
                if packet.size == 0 or packet.pts is None or packet.is_discard:
                    continue
                shown = _ticks((packet.pts - part.first) * part.tick_s, clock_s) + shift
                due = _ticks((next(decoded_at) - part.first) * part.tick_s, clock_s) + shift - ahead
                packet.duration = _ticks((packet.duration or 0) * part.tick_s, clock_s)
                packet.pts, packet.dts, packet.time_base = shown, due, clock_s
                packet.stream = stream
                yield packet


def _encoded(
    stream: VideoStream, parent: Clip, segment: Clip, clock_s: Fraction, planned: list[FrameSlot]
) -> Iterator[Packet[VideoStream]]:
    own = [_ticks((tick - parent.first) * parent.tick_s, clock_s) for tick in (*parent.starts, parent.end)]
    whole = [FrameSlot(index, own[index], own[index + 1]) for index in range(len(parent.starts))]
    lengths = {slot.start: slot.end - slot.start for slot in whole}
    lengths |= {slot.start + own[-1]: slot.end - slot.start for slot in planned}
    for part, wanted, shift in ((parent, whole, 0), (segment, planned, own[-1])):
        for slot, decoded in _chosen(part, wanted):
            frame = _framed(decoded, part, parent)
            frame.time_base = clock_s
            frame.pts = slot.start + shift
            frame.duration = slot.end - slot.start
            yield from _timed(stream.encode(frame), lengths)
    yield from _timed(stream.encode(None), lengths)


def _timed(packets: list[Packet[VideoStream]], lengths: dict[int, int]) -> Iterator[Packet[VideoStream]]:
    """Yield the packets with their frames' own lengths: the encoder gives each the length of a steady rate."""
    for packet in packets:
        packet.duration = lengths.get(packet.pts or 0, packet.duration)
        yield packet


def _chosen(part: Clip, wanted: list[FrameSlot]) -> Iterator[tuple[FrameSlot, VideoFrame]]:
    """Yield each slot with the frame it shows, decoding the part once. FrameError where one is missing."""
    numbers = {tick: index for index, tick in enumerate(part.starts)}
    at = 0
    with open_video(part.path) as (container, source):
        for frame in container.decode(source):
            index = numbers.get(frame.pts) if frame.pts is not None else None
            while at < len(wanted) and wanted[at].index == index:
                yield wanted[at], frame
                at += 1
            if at == len(wanted):
                return
    if at < len(wanted):
        lost = float((part.starts[wanted[at].index] - part.first) * part.tick_s)
        raise FrameError(f"the picture at {lost:.2f} s can't be decoded")


def _framed(frame: VideoFrame, part: Clip, parent: Clip) -> VideoFrame:
    """Return a new frame of the film's format: the part's, scaled without distortion, black around it where it is
    short."""
    import av
    import numpy as np

    width, height = (side & ~1 for side in parent.video.seen[:2])
    inner_width, inner_height = fit(part.video, parent.video) if part is not parent else (width, height)
    scaled = upright(frame).reformat(
        width=inner_width, height=inner_height, format="yuv420p", interpolation="BICUBIC", dst_color_range="MPEG"
    )
    planes = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
    if (inner_width, inner_height) == (width, height):
        return av.VideoFrame.from_ndarray(planes, format="yuv420p")
    left, top = (width - inner_width) // 4 * 2, (height - inner_height) // 4 * 2
    canvas = []
    at = 0
    flat = planes.reshape(-1)
    for halved, black in ((1, 16), (2, 128), (2, 128)):
        shape = (inner_height // halved, inner_width // halved)
        plane = np.full((height // halved, width // halved), black, dtype=np.uint8)
        y, x = top // halved, left // halved
        plane[y : y + shape[0], x : x + shape[1]] = flat[at : at + shape[0] * shape[1]].reshape(shape)
        at += shape[0] * shape[1]
        canvas.append(plane.reshape(-1))
    return av.VideoFrame.from_ndarray(np.concatenate(canvas).reshape(height * 3 // 2, width), format="yuv420p")


def _ticks(seconds: Fraction, clock_s: Fraction) -> int:
    return round(seconds / clock_s)
