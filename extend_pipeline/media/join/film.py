"""Writing of one film from a parent and the segment that continues it, with libav.

Compatible video is copied, so that every frame is bit by bit the paid one. Other video is encoded again.
"""

from __future__ import annotations

import errno
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, assert_never

from extend_pipeline.media.check.probe import InvalidFile, Probe, open_whole
from extend_pipeline.media.join.audio import Readable, copied_audio, encoded_audio, readable_audio
from extend_pipeline.media.join.clip import Clip, open_clip
from extend_pipeline.media.join.plan import AudioPlan, common_clock, frame_slots, plan_audio, reencode_reason
from extend_pipeline.media.join.video import copied_video, encoded_video
from extend_pipeline.media.libav import FrameError
from extend_pipeline.media.upright import NO_TURN

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SEAM_FRAMES: Final = 5  # compared after the seam, because a wrong parameter set shows in the first frames
_VIDEO: Final = 0  # the index of the video stream, which is added first
_SIZE_CHECK_PACKETS: Final = 64  # packets between checks of the file's size
_DISK_ERRORS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Joined:
    """A written and checked film. `lossless`: every packet of video and audio was copied. `note` describes how it was
    made."""

    probe: Probe
    lossless: bool
    note: str


def join(*, parent: Path, segment: Path, out: Path, max_bytes: int) -> Joined | InvalidFile:
    """Write the film to `out`, and check it; the same inputs give the same film. Each part is opened and read once, as
    long as its video need not be encoded again.

    Returns InvalidFile if one of both can't be read whole, or the film would exceed `max_bytes`. Raises OSError;
    content never raises.
    """
    parts: list[Clip] = []
    try:
        with ExitStack() as opened:
            for name, path in (("parent", parent), ("segment", segment)):
                try:
                    parts.append(opened.enter_context(open_clip(path)))
                except FrameError as error:
                    return InvalidFile(f"the {name} can't be used: {error}")
            return _join(*parts, out=out, max_bytes=max_bytes)
    except FrameError as error:
        return InvalidFile(str(error))


def join_by_copying(before: Clip, after: Clip, *, out: Path, max_bytes: int) -> Joined | None:
    """Write the film to `out`, and check it, if every packet of both parts is copied; return None if not. Raises
    FrameError, OSError."""
    audio = plan_audio(before, after)
    if audio is AudioPlan.ENCODE or before.unknown_audio or after.unknown_audio or reencode_reason(before, after):
        return None
    probed = _write_checked(before, after, out=out, max_bytes=max_bytes, copy=True, audio=audio)
    if isinstance(probed, InvalidFile):
        return None
    return Joined(probed, True, _note(None, before, after, [_audio_note(before, after, audio)]))


def _join(before: Clip, after: Clip, *, out: Path, max_bytes: int) -> Joined | InvalidFile:
    reason = reencode_reason(before, after)
    audio_notes = [
        f"The {name}'s audio has an unsupported codec and was left out."
        for name, part in (("parent", before), ("segment", after))
        if part.unknown_audio
    ]
    audio = plan_audio(before, after)
    if audio is AudioPlan.ENCODE:
        before, after = _decodable("parent", before, audio_notes), _decodable("segment", after, audio_notes)
        audio = plan_audio(before, after) if before.audio is None and after.audio is None else audio
    audio_notes.append(_audio_note(before, after, audio))
    if reason is None:
        probed = _write_checked(before, after, out=out, max_bytes=max_bytes, copy=True, audio=audio)
        if isinstance(probed, Probe):
            lossless = audio is not AudioPlan.ENCODE and len(audio_notes) == 1
            return Joined(probed, lossless, _note(None, before, after, audio_notes))
        reason = f"the film with copied video did not pass its check ({probed.reason})"
    probed = _write_checked(before, after, out=out, max_bytes=max_bytes, copy=False, audio=audio)
    if isinstance(probed, InvalidFile):
        return InvalidFile(f"{reason}; encoding the video again failed: {probed.reason}")
    return Joined(probed, False, _note(reason, before, after, audio_notes))


def _decodable(name: str, part: Clip, notes: list[str]) -> Clip:
    """Return the part, without audio if none of it can be decoded; append to `notes` which audio is lost."""
    readable = Readable.WHOLE if part.audio is None else readable_audio(part)
    if readable is Readable.PARTLY:
        notes.append(f"The damaged pieces of the {name}'s audio are silent.")
    if readable is not Readable.NOT:
        return part
    notes.append(f"The {name}'s audio is damaged and was left out.")
    return replace(part, audio=None)


def _note(reason: str | None, parent: Clip, segment: Clip, audio_notes: list[str]) -> str:
    """Return how the film was made, for the operator; `reason` is why the video was encoded again."""
    turns = (parent.video.turn, segment.video.turn)
    if reason is None:
        video = "The video of both parts was copied unchanged."
    else:
        video = f"The video was encoded again, because {reason}."
        if any(turn != NO_TURN for turn in turns):
            video += " It is stored upright now, without a display matrix."
    if any(turn.unsupported for turn in turns):
        video += " A display matrix that is no quarter turn was not applied."
    return " ".join(sentence for sentence in (video, *audio_notes) if sentence)


def _audio_note(parent: Clip, segment: Clip, audio: AudioPlan) -> str:
    match audio:
        case AudioPlan.NONE:
            return ""
        case AudioPlan.COPY:
            return "The audio of both parts was copied."
        case AudioPlan.ENCODE if parent.audio is None:
            return "The audio of the segment was encoded again, after silence for the parent, which has none."
        case AudioPlan.ENCODE if segment.audio is None:
            return "The audio of the parent was encoded again, before silence for the segment, which has none."
        case AudioPlan.ENCODE if parent.audio == segment.audio:
            return f"The audio was encoded again, because {parent.audio.codec} is not supported in an MP4."
        case AudioPlan.ENCODE:
            return "The audio was encoded again, because the parts have different audio formats."
        case _ as never:
            assert_never(never)


def _write_checked(
    parent: Clip, segment: Clip, *, out: Path, max_bytes: int, copy: bool, audio: AudioPlan
) -> Probe | InvalidFile:
    """Write the film and check it; return what it holds, or why it is not as it should be."""
    try:
        with _new_mp4(out) as container:
            written = _write(container, out, parent, segment, max_bytes=max_bytes, copy=copy, audio=audio)
        if (size := out.stat().st_size) > max_bytes:
            return InvalidFile(f"the film has {size:,} bytes; {max_bytes:,} is the most allowed")
        return _checked(out, parent, segment, copied=written if copy else None)
    except FrameError as error:
        return InvalidFile(str(error))


def _write(
    out: OutputContainer, path: Path, parent: Clip, segment: Clip, *, max_bytes: int, copy: bool, audio: AudioPlan
) -> list[int]:
    """Write the packets; return the checksums of those of video. Raises FrameError if the film grows too large."""
    tracks: list[Iterator[Packet[VideoStream] | Packet[AudioStream]]] = [
        (copied_video if copy else encoded_video)(out, parent, segment)
    ]
    if audio is AudioPlan.COPY:
        tracks.append(copied_audio(out, parent, segment))
    elif audio is AudioPlan.ENCODE:
        tracks.append(encoded_audio(out, parent, segment))
    written: list[int] = []
    for number, packet in enumerate(merge(*tracks, key=_decoded_at_s)):
        if packet.stream.index == _VIDEO:
            written.append(zlib.crc32(packet))
        out.mux(packet)
        if number % _SIZE_CHECK_PACKETS == 0 and path.stat().st_size > max_bytes:
            raise FrameError(f"the film grew beyond {max_bytes:,} bytes, the most allowed")
    return written


def _decoded_at_s(packet: Packet[VideoStream] | Packet[AudioStream]) -> float:
    """Return when a packet is decoded, in seconds."""
    return float((packet.dts or 0) * packet.time_base)


def _checked(path: Path, parent: Clip, segment: Clip, *, copied: list[int] | None) -> Probe:
    """Return what the film holds if it is whole, as long as both parts, and readable over the seam. `copied`: the
    checksums of the video packets that were copied to it, None if they were encoded again. Raises FrameError."""
    import numpy as np

    added = len(segment.starts if copied is not None else frame_slots(parent, segment, common_clock(parent, segment)))
    seam = len(parent.starts)
    read: list[int] = []

    def keep(packet: Packet[Any]) -> None:
        if copied is not None and packet.stream.index == _VIDEO:
            read.append(zlib.crc32(packet))

    with open_whole(path, keep) as (probe, film):
        if probe.frames != seam + added:
            raise FrameError(f"it has {probe.frames:,} video frames instead of {seam + added:,}")
        expected_ms = float(parent.duration_s + segment.duration_s) * 1000
        if abs(probe.duration_ms - expected_ms) > 1 + 1000 / min(parent.rate, segment.rate):
            raise FrameError(f"it lasts {probe.duration_ms / 1000:.3f} s instead of {expected_ms / 1000:.3f} s")
        if copied is None:
            return probe
        after = {*range(min(SEAM_FRAMES, added))}
        before: set[int] = set()
        if read != copied:  # an MP4 holds the packets of some containers in another form
            before, after = {seam - 1}, {*after, added - 1}
        frames = film.frames({*before, *(seam + index for index in after)})
        originals = parent.film.frames(before)
        originals |= {seam + index: frame for index, frame in segment.film.frames(after).items()}
        if not all(
            np.array_equal(frames[index].to_ndarray(), frame.to_ndarray()) for index, frame in originals.items()
        ):
            raise FrameError("its video frames at the seam differ from those of the parts")
        return probe


@contextmanager
def _new_mp4(path: Path) -> Iterator[OutputContainer]:
    """Yield an MP4 that is written to `path` with its header in front. Raises FrameError, OSError for errors of the
    disk."""
    import av

    try:
        with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as out:
            yield out
    except av.FFmpegError as error:
        if error.errno in _DISK_ERRORS:
            raise OSError(error.errno, f"the assembled film can't be written: {error.strerror}") from error
        raise FrameError(f"the film can't be written: {error.strerror or error}") from error
    except ValueError as error:
        raise FrameError(f"the film can't be written: {error}") from error
