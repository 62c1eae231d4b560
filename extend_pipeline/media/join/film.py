"""Writes one film from a parent and the new part that continues it: libav's side of `assemble.py`.

Copied where the two fit together: every frame then is the one that was paid for, bit by bit. Coded again where not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from extend_pipeline.media.check.probe import InvalidFile, ValidFile, check_file
from extend_pipeline.media.frames import open_clip
from extend_pipeline.media.join.audio import Readable, copied_audio, encoded_audio, readable_audio
from extend_pipeline.media.join.clip import Clip, read_clip
from extend_pipeline.media.join.plan import AudioPlan, copy_obstacle, plan_audio, slots
from extend_pipeline.media.join.plan import common_clock as clock_of
from extend_pipeline.media.join.video import copied_video, encoded_video
from extend_pipeline.media.libav import FrameError
from extend_pipeline.media.upright import STANDING

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SEAM_FRAMES: Final = 5  # compared after the seam: a wrong parameter set shows at once or by the first prediction
_LOOK_EVERY: Final = 64  # packets between looks at the file's size
_DISK_ERRORS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Joined:
    """The film is written. `lossless`: every packet of video and audio was copied. `note` says how it was made."""

    lossless: bool
    note: str


def join(*, parent: Path, segment: Path, out: Path, max_bytes: int) -> Joined | InvalidFile:
    """Write the film to `out`, and check it; the same inputs give the same film.

    InvalidFile where one of both can't be read whole, or the film would exceed `max_bytes`. Content never raises;
    OSError does.
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
    obstacle = copy_obstacle(before, after)
    heard = [f"The {name}'s sound is of a kind that is not known here, and was left out." for name in _unknown(parts)]
    audio = plan_audio(before, after)
    if audio is AudioPlan.ENCODE:
        (before, left_out), (after, left_out_too) = _audible("parent", before), _audible("segment", after)
        heard += [*left_out, *left_out_too]
        audio = plan_audio(before, after) if before.audio is None and after.audio is None else audio
    heard.append(_audio_note(before, after, audio))
    if obstacle is None:
        failed = _make(before, after, out=out, max_bytes=max_bytes, copy=True, audio=audio)
        if failed is None:
            return Joined(audio is not AudioPlan.ENCODE and len(heard) == 1, _note(None, before, after, heard))
        obstacle = f"copied, the film did not pass its check ({failed.reason})"
    failed = _make(before, after, out=out, max_bytes=max_bytes, copy=False, audio=audio)
    if failed is not None:
        return InvalidFile(f"{obstacle}; coding them again failed: {failed.reason}")
    return Joined(False, _note(obstacle, before, after, heard))


def _unknown(parts: list[Clip]) -> list[str]:
    return [name for name, part in zip(("parent", "segment"), parts, strict=True) if part.unknown_audio]


def _audible(name: str, part: Clip) -> tuple[Clip, list[str]]:
    """Return the part as its audio can be coded again, and what of it is lost by that, in sentences for a person."""
    if part.audio is None:
        return part, []
    match readable_audio(part):
        case Readable.WHOLE:
            return part, []
        case Readable.PARTLY:
            return part, [f"The damaged pieces of the {name}'s sound are silent."]
        case Readable.NOT:
            return replace(part, audio=None), [f"The {name}'s sound is damaged, and was left out."]
        case _ as never:
            assert_never(never)


def _note(obstacle: str | None, parent: Clip, segment: Clip, heard: list[str]) -> str:
    """Return how the film was made, for a person."""
    if obstacle is None:
        video = "The pictures of both parts were copied unchanged."
    else:
        video = f"The pictures were coded again, because {obstacle}."
        turns = (parent.video.turn, segment.video.turn)
        if any(turn != STANDING for turn in turns):
            video += " They stand upright now, without a mark."
    if any(part.video.turn.odd for part in (parent, segment)):
        video += " A mark that turns by no quarter is not followed here."
    return " ".join(sentence for sentence in (video, *heard) if sentence)


def _audio_note(parent: Clip, segment: Clip, audio: AudioPlan) -> str:
    match audio:
        case AudioPlan.NONE:
            return ""
        case AudioPlan.COPY:
            return "The sound of both was copied."
        case AudioPlan.ENCODE if parent.audio is None:
            return "The sound of the segment was coded again, after silence where the parent has none."
        case AudioPlan.ENCODE if segment.audio is None:
            return "The sound of the parent was coded again, before silence where the segment has none."
        case AudioPlan.ENCODE if parent.audio == segment.audio:
            return f"The sound was coded again, because {parent.audio.codec} has no place in an MP4."
        case AudioPlan.ENCODE:
            return "The sound was coded again, because both parts' differs in kind."
        case _ as never:
            assert_never(never)


def _make(
    parent: Clip, segment: Clip, *, out: Path, max_bytes: int, copy: bool, audio: AudioPlan
) -> InvalidFile | None:
    """Write the film and check it; InvalidFile where it is not what it should be."""
    try:
        with _new_mp4(out) as container:
            failed = _write(container, out, parent, segment, max_bytes=max_bytes, copy=copy, audio=audio)
        if failed is not None:
            return failed
        if (size := out.stat().st_size) > max_bytes:
            return InvalidFile(f"the film has {size:,} bytes; {max_bytes:,} is the most allowed")
        checked = _checked(out, parent, segment, copy=copy)
    except FrameError as error:
        return InvalidFile(str(error))
    return checked if isinstance(checked, InvalidFile) else None


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
    for number, packet in enumerate(merge(*tracks, key=_due)):
        out.mux(packet)
        if number % _LOOK_EVERY == 0 and path.stat().st_size > max_bytes:
            return InvalidFile(f"the film grew beyond {max_bytes:,} bytes, the most allowed")
    return None


def _due(packet: Packet[VideoStream] | Packet[AudioStream]) -> float:
    """Return when a packet is decoded, in seconds."""
    return float((packet.dts or 0) * packet.time_base)


def _checked(path: Path, parent: Clip, segment: Clip, *, copy: bool) -> ValidFile | InvalidFile:
    """Return whether the file is the film that was to be made: whole, as long as both parts, and readable over the
    seam."""
    import numpy as np

    checked = check_file(path)
    if isinstance(checked, InvalidFile):
        return checked
    probe = checked.probe
    added = len(segment.starts) if copy else len(slots(parent, segment, clock_of(parent, segment)))
    if probe.frames != len(parent.starts) + added:
        return InvalidFile(f"it has {probe.frames:,} pictures instead of {len(parent.starts) + added:,}")
    wanted_ms = float(parent.duration_s + segment.duration_s) * 1000
    if abs(probe.duration_ms - wanted_ms) > 1 + 1000 / min(parent.rate, segment.rate):
        return InvalidFile(f"it lasts {probe.duration_ms / 1000:.3f} s instead of {wanted_ms / 1000:.3f} s")
    seam = len(parent.starts)
    after = sorted({*range(min(SEAM_FRAMES, added)), added - 1})
    with open_clip(path) as film:
        shown = film.frames({seam - 1, *(seam + index for index in after)})
    if not copy:
        return checked
    with open_clip(parent.path) as clip:
        pairs = [(shown[seam - 1], clip.frames({seam - 1})[seam - 1])]
    with open_clip(segment.path) as clip:
        pairs += [(shown[seam + index], frame) for index, frame in clip.frames(after).items()]
    if not all(np.array_equal(one.to_ndarray(), other.to_ndarray()) for one, other in pairs):
        return InvalidFile("its pictures at the seam differ from the parts'")
    return checked


@contextmanager
def _new_mp4(path: Path) -> Iterator[OutputContainer]:
    """Yield an MP4 that is written to that path, its header in front. FrameError, OSError where the disk is the
    reason."""
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
