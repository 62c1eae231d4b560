"""Decisions on how two parts become one film: what is copied, what is encoded again, and why. Reads no files."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import lcm
from typing import Final

from extend_pipeline.media.join.clip import AudioCoding, Clip, VideoCoding

FINEST_CLOCK: Final = 10_000_000  # ticks a second; above, 180 s approach the 32 bits of an MP4's tables
MAX_ENCODED_FRAMES: Final = 20_000  # 180 s, the longest film that any provider makes, at 60 frames a second: 10,800
_RATES: Final = (1, 120)  # plausible frames a second; others are a broken clock

# Codecs that players expect in an MP4, by the names of libav's decoders; others are encoded again.
MP4_VIDEO_CODECS: Final = frozenset({"h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9", "mpeg4"})
MP4_AUDIO_CODECS: Final = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "flac", "alac"})


class AudioPlan(StrEnum):
    """How the film gets its audio."""

    NONE = "none"  # neither part has any
    COPY = "copy"
    ENCODE = "encode"  # the formats differ, or only one part has audio and silence fills the other


@dataclass(frozen=True, slots=True)
class FrameSlot:
    """One frame of the film: a part's frame `index`, shown from `start` to `end` in ticks after the part's start."""

    index: int
    start: int
    end: int


def reencode_reason(parent: Clip, segment: Clip) -> str | None:
    """Return why the video must be encoded again, as the end of a sentence; None if it can be copied."""
    before, after = parent.video, segment.video
    if before.codec != after.codec:
        return f"the parent is coded as {before.codec} and the segment as {after.codec}"
    if before.codec not in MP4_VIDEO_CODECS:
        return f"{before.codec} is not supported in an MP4"
    if before.turn != after.turn:
        return "the parent and the segment have different display matrices"
    if (before.width, before.height) != (after.width, after.height):
        return f"the parent is {before.width} × {before.height} and the segment {after.width} × {after.height}"
    if before.pixel_format != after.pixel_format:
        return f"the parent's pixel format is {before.pixel_format} and the segment's {after.pixel_format}"
    if before.pixel_aspect != after.pixel_aspect:
        return f"the parent's pixel aspect ratio is {before.pixel_aspect} and the segment's {after.pixel_aspect}"
    if not _same_parameters(before, after):
        return "both were encoded with different settings, and one MP4 track holds one set"
    if parent.changes or segment.changes:
        return "the encoder's settings change within a file"
    if parent.hidden or segment.hidden:
        return "an edit list hides some of the stored frames"
    if not segment.clean_start:
        return "the segment does not start with a keyframe"
    return None


def plan_audio(parent: Clip, segment: Clip) -> AudioPlan:
    """Return how the film gets its audio, so that no paid audio is lost."""
    if parent.audio is None and segment.audio is None:
        return AudioPlan.NONE
    return AudioPlan.COPY if parent.audio == segment.audio and _fits_mp4(parent.audio) else AudioPlan.ENCODE


def _fits_mp4(audio: AudioCoding | None) -> bool:
    """Return whether the packets can be copied. AAC of a transport stream can't, because it has no parameters."""
    return audio is not None and audio.codec in MP4_AUDIO_CODECS and (audio.codec != "aac" or bool(audio.parameters))


def common_clock(parent: Clip, segment: Clip) -> Fraction:
    """Return the seconds of a tick that makes both parts' instants whole ticks; the parent's tick if that is too
    small."""
    ticks = lcm(parent.tick_s.denominator, segment.tick_s.denominator)
    return Fraction(1, ticks) if ticks <= FINEST_CLOCK else parent.tick_s


def frame_slots(parent: Clip, segment: Clip, clock_s: Fraction) -> list[FrameSlot]:
    """Return the segment's frames at the parent's rate, in ticks of `clock_s`.

    They keep their own instants if the rates agree, or if the parent has no constant frame rate. Otherwise each of the
    parent's intervals shows the segment's frame at its middle. Raises ValueError if that makes too many frames.
    """
    own = segment.instants(clock_s)
    low, high = _RATES
    parent_constant = parent.constant_frame_rate and low <= parent.rate <= high
    same_rate = segment.constant_frame_rate and abs(parent.rate / segment.rate - 1) < Fraction(1, 1000)
    keeps_own = same_rate or not parent_constant
    count = len(segment.starts) if keeps_own else max(1, round(segment.duration_s * parent.rate))
    if len(parent.starts) + count > MAX_ENCODED_FRAMES:
        raise ValueError(
            f"the film would have {len(parent.starts) + count:,} video frames; {MAX_ENCODED_FRAMES:,} can be encoded"
        )
    if keeps_own:
        return [FrameSlot(index, own[index], own[index + 1]) for index in range(count)]
    return list(_resampled(own, count, 1 / parent.rate / clock_s))


def fit(video: VideoCoding, into: VideoCoding) -> tuple[int, int]:
    """Return even width and height of an upright frame that is scaled into another format without distortion."""
    own_width, own_height, own_pixel_aspect = video.seen
    width, height, pixel_aspect = into.seen
    aspect = Fraction(own_width, own_height) * own_pixel_aspect / pixel_aspect
    width, height = width & ~1, height & ~1
    if aspect * height >= width:
        return width, min(height, max(2, round(width / aspect / 2) * 2))
    return min(width, max(2, round(height * aspect / 2) * 2)), height


def _resampled(own: list[int], count: int, length: Fraction) -> Iterator[FrameSlot]:
    index = 0
    for number in range(count):
        middle = (number + Fraction(1, 2)) * length
        while index + 2 < len(own) and own[index + 1] <= middle:
            index += 1
        yield FrameSlot(index, round(number * length), round((number + 1) * length))


def _same_parameters(before: VideoCoding, after: VideoCoding) -> bool:
    """Return whether both have the same decoder parameters; two `avcC` may differ in bytes and hold the same sets."""
    if before.parameters == after.parameters:
        return True
    if before.codec != "h264":
        return False
    try:
        return _parameter_sets(before.parameters) == _parameter_sets(after.parameters)
    except (struct.error, IndexError, ValueError):
        return False


def _parameter_sets(avcc: bytes) -> tuple[int, list[bytes]]:
    """Return the code for the size of NAL length fields, and all SPS and PPS, of an AVCDecoderConfigurationRecord
    (ISO/IEC 14496-15)."""
    if avcc[0] != 1:
        raise ValueError("not an avcC")
    at = 6
    sets: list[bytes] = []
    for kind in ("SPS", "PPS"):
        if kind == "SPS":
            count = avcc[5] & 0x1F
        else:
            count, at = avcc[at], at + 1
        for _ in range(count):
            (size,) = struct.unpack_from(">H", avcc, at)
            sets.append(avcc[at + 2 : at + 2 + size])
            if len(sets[-1]) != size:
                raise ValueError("cut short")
            at += 2 + size
    return avcc[4] & 3, sets
