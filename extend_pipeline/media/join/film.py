"""Writing of one film from a parent and the segment that continues it, with libav.

Compatible video is copied, so that every frame is bit by bit the paid one. Other video is encoded again.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from extend_pipeline.media.check.probe import InvalidFile, Probe, check_file
from extend_pipeline.media.frames import FrameReader, open_frames
from extend_pipeline.media.join.audio import Readable, copied_audio, encoded_audio, readable_audio
from extend_pipeline.media.join.clip import Clip, read_clip
from extend_pipeline.media.join.plan import AudioPlan, common_clock, frame_slots, plan_audio, reencode_reason
from extend_pipeline.media.join.video import copied_video, encoded_video
from extend_pipeline.media.libav import FrameError
from extend_pipeline.media.upright import NO_TURN

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SEAM_FRAMES: Final = 5  # compared after the seam, because a wrong parameter set shows in the first frames
_SIZE_CHECK_PACKETS: Final = 64  # packets between checks of the file's size
_DISK_ERRORS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Joined:
    """A written film. `lossless`: every packet of video and audio was copied. `note` describes how it was made."""

    lossless: bool
    note: str


def join(*, parent: Path, segment: Path, out: Path, max_bytes: int) -> Joined | InvalidFile:
    """Write the film to `out`, and check it; the same inputs give the same film.

    Returns InvalidFile if one of both can't be read whole, or the film would exceed `max_bytes`. Raises OSError;
    content never raises.
    """
    parts: list[Clip] = []
    for name, path in (("parent", parent), ("segment", segment)):
        try:
            checked = check_file(path)
            if isinstance(checked, InvalidFile):
                return InvalidFile(f"the {name} is not a whole film: {checked.reason}")
            parts.append(read_clip(path))
        except FrameError as error:
            return InvalidFile(f"the {name} can't be used: {error}")
    before, after = parts
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
        invalid = _write_checked(before, after, out=out, max_bytes=max_bytes, copy=True, audio=audio)
        if invalid is None:
            lossless = audio is not AudioPlan.ENCODE and len(audio_notes) == 1
            return Joined(lossless, _note(None, before, after, audio_notes))
        reason = f"the film with copied video did not pass its check ({invalid.reason})"
    invalid = _write_checked(before, after, out=out, max_bytes=max_bytes, copy=False, audio=audio)
    if invalid is not None:
        return InvalidFile(f"{reason}; encoding the video again failed: {invalid.reason}")
    return Joined(False, _note(reason, before, after, audio_notes))


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
) -> InvalidFile | None:
    """Write the film and check it; return InvalidFile if it fails, else None."""
    try:
        with _new_mp4(out) as container:
            invalid = _write(container, out, parent, segment, max_bytes=max_bytes, copy=copy, audio=audio)
        if invalid is not None:
            return invalid
        if (size := out.stat().st_size) > max_bytes:
            return InvalidFile(f"the film has {size:,} bytes; {max_bytes:,} is the most allowed")
        return _fault(out, parent, segment, copy=copy)
    except FrameError as error:
        return InvalidFile(str(error))


def _write(
    out: OutputContainer, path: Path, parent: Clip, segment: Clip, *, max_bytes: int, copy: bool, audio: AudioPlan
) -> InvalidFile | None:
    tracks: list[Iterator[Packet[VideoStream] | Packet[AudioStream]]] = [
        (copied_video if copy else encoded_video)(out, parent, segment)
    ]
    if audio is AudioPlan.COPY:
        tracks.append(copied_audio(out, parent, segment))
    elif audio is AudioPlan.ENCODE:
        tracks.append(encoded_audio(out, parent, segment))
    for number, packet in enumerate(merge(*tracks, key=_decoded_at_s)):
        out.mux(packet)
        if number % _SIZE_CHECK_PACKETS == 0 and path.stat().st_size > max_bytes:
            return InvalidFile(f"the film grew beyond {max_bytes:,} bytes, the most allowed")
    return None


def _decoded_at_s(packet: Packet[VideoStream] | Packet[AudioStream]) -> float:
    """Return when a packet is decoded, in seconds."""
    return float((packet.dts or 0) * packet.time_base)


def _fault(path: Path, parent: Clip, segment: Clip, *, copy: bool) -> InvalidFile | None:
    """Return what is wrong with the film, None if it is whole, as long as both parts, and readable over the seam."""
    import numpy as np

    added = len(segment.starts) if copy else len(frame_slots(parent, segment, common_clock(parent, segment)))
    seam = len(parent.starts)
    after = sorted({*range(min(SEAM_FRAMES, added)), added - 1})
    written: dict[int, VideoFrame] = {}

    def look(probe: Probe, film: FrameReader) -> None:
        if probe.frames == seam + added:
            written.update(film.frames({seam - 1, *(seam + index for index in after)}))

    checked = check_file(path, look)
    if isinstance(checked, InvalidFile):
        return checked
    probe = checked.probe
    if probe.frames != len(parent.starts) + added:
        return InvalidFile(f"it has {probe.frames:,} video frames instead of {len(parent.starts) + added:,}")
    expected_ms = float(parent.duration_s + segment.duration_s) * 1000
    if abs(probe.duration_ms - expected_ms) > 1 + 1000 / min(parent.rate, segment.rate):
        return InvalidFile(f"it lasts {probe.duration_ms / 1000:.3f} s instead of {expected_ms / 1000:.3f} s")
    if not copy:
        return None
    with open_frames(parent.path) as part:
        pairs = [(written[seam - 1], part.frames({seam - 1})[seam - 1])]
    with open_frames(segment.path) as part:
        pairs += [(written[seam + index], frame) for index, frame in part.frames(after).items()]
    if not all(np.array_equal(copied.to_ndarray(), original.to_ndarray()) for copied, original in pairs):
        return InvalidFile("its video frames at the seam differ from those of the parts")
    return None


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
