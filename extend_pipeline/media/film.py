"""Writes one film from a parent and the new part that continues it: libav's side of `assemble.py`.

Copied where the two fit together: every picture then is the one that was paid for, bit by bit. Coded again where not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from extend_pipeline.media.frames import open_clip
from extend_pipeline.media.join_pictures import copied_pictures, encoded_pictures
from extend_pipeline.media.join_sound import can_decode_sound, copied_sound, encoded_sound
from extend_pipeline.media.joining import SoundPlan, copy_obstacle, slots, sound_plan
from extend_pipeline.media.joining import common_clock as clock_of
from extend_pipeline.media.libav import PictureError
from extend_pipeline.media.part import Part, read_part
from extend_pipeline.media.probe import Broken, Sound, check_file

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SEAM_PICTURES: Final = 5  # compared after the seam: a wrong parameter set shows at once or by the first prediction
_LOOK_EVERY: Final = 64  # packets between looks at the file's size
_DISK_ERRORS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Joined:
    """The film is written. `lossless`: every packet of pictures and sound was copied. `note` says how it was made."""

    lossless: bool
    note: str


def join(*, parent: Path, segment: Path, out: Path, max_bytes: int) -> Joined | Broken:
    """Write the film to `out`, and check it; the same inputs give the same film.

    Broken where one of both can't be read whole, or the film would exceed `max_bytes`. Content never raises; OSError
    does.
    """
    parts: list[Part] = []
    for name, path in (("parent", parent), ("segment", segment)):
        try:
            checked = check_file(path)
            if isinstance(checked, Broken):
                return Broken(f"the {name} is not a whole film: {checked.reason}")
            parts.append(read_part(path))
        except PictureError as error:
            return Broken(f"the {name} can't be used: {error}")
    before, after = parts
    obstacle = copy_obstacle(before, after)
    sound = sound_plan(before, after)
    if sound is SoundPlan.ENCODE and not (can_decode_sound(before) and can_decode_sound(after)):
        sound = SoundPlan.UNREADABLE
    if obstacle is None:
        failed = _make(before, after, out=out, max_bytes=max_bytes, copy=True, sound=sound)
        if failed is None:
            return Joined(sound in (SoundPlan.NONE, SoundPlan.COPY), _note(None, before, sound))
        obstacle = f"copied, the film did not pass its check ({failed.reason})"
    if before.video.rotation or after.video.rotation:
        return Broken(f"{obstacle}; and pictures that are marked as turned are not coded again here")
    failed = _make(before, after, out=out, max_bytes=max_bytes, copy=False, sound=sound)
    if failed is not None:
        return Broken(f"{obstacle}; coding them again failed: {failed.reason}")
    return Joined(False, _note(obstacle, before, sound))


def _note(obstacle: str | None, parent: Part, sound: SoundPlan) -> str:
    """How the film was made, for a person."""
    if obstacle is None:
        pictures = "The pictures of both parts were copied unchanged."
    else:
        pictures = f"The pictures were coded again, because {obstacle}."
    match sound:
        case SoundPlan.NONE:
            return pictures
        case SoundPlan.COPY:
            return f"{pictures} The sound of both was copied."
        case SoundPlan.ENCODE:
            return f"{pictures} The sound was coded again, because both parts' differs in kind."
        case SoundPlan.DROP:
            return f"{pictures} There is no sound, because only the {'parent' if parent.sound else 'segment'} has any."
        case SoundPlan.UNREADABLE:
            return f"{pictures} There is no sound, because one part's is damaged and both differ in kind."
        case _ as never:
            assert_never(never)


def _make(parent: Part, segment: Part, *, out: Path, max_bytes: int, copy: bool, sound: SoundPlan) -> Broken | None:
    """Write the film and check it; Broken where it is not what it should be."""
    try:
        with _new_mp4(out) as container:
            failed = _write(container, out, parent, segment, max_bytes=max_bytes, copy=copy, sound=sound)
        if failed is not None:
            return failed
        if (size := out.stat().st_size) > max_bytes:
            return Broken(f"the film has {size:,} bytes; {max_bytes:,} is the most allowed")
        checked = _checked(out, parent, segment, copy=copy)
    except PictureError as error:
        return Broken(str(error))
    return checked if isinstance(checked, Broken) else None


def _write(
    out: OutputContainer, path: Path, parent: Part, segment: Part, *, max_bytes: int, copy: bool, sound: SoundPlan
) -> Broken | None:
    tracks: list[Iterator[Packet[VideoStream] | Packet[AudioStream]]] = [
        (copied_pictures if copy else encoded_pictures)(out, parent, segment)
    ]
    if sound is SoundPlan.COPY:
        tracks.append(copied_sound(out, parent, segment))
    elif sound is SoundPlan.ENCODE:
        tracks.append(encoded_sound(out, parent, segment))
    for number, packet in enumerate(merge(*tracks, key=_due)):
        out.mux(packet)
        if number % _LOOK_EVERY == 0 and path.stat().st_size > max_bytes:
            return Broken(f"the film grew beyond {max_bytes:,} bytes, the most allowed")
    return None


def _due(packet: Packet[VideoStream] | Packet[AudioStream]) -> float:
    """When a packet is decoded, in seconds."""
    return float((packet.dts or 0) * packet.time_base)


def _checked(path: Path, parent: Part, segment: Part, *, copy: bool) -> Sound | Broken:
    """Whether the file is the film that was to be made: whole, as long as both parts, and readable over the seam."""
    checked = check_file(path)
    if isinstance(checked, Broken):
        return checked
    probe = checked.probe
    added = len(segment.starts) if copy else len(slots(parent, segment, clock_of(parent, segment)))
    if probe.frames != len(parent.starts) + added:
        return Broken(f"it has {probe.frames:,} pictures instead of {len(parent.starts) + added:,}")
    wanted_ms = float(parent.duration_s + segment.duration_s) * 1000
    if abs(probe.duration_ms - wanted_ms) > 1 + 1000 / min(parent.rate, segment.rate):
        return Broken(f"it lasts {probe.duration_ms / 1000:.3f} s instead of {wanted_ms / 1000:.3f} s")
    seam = len(parent.starts)
    after = sorted({*range(min(SEAM_PICTURES, added)), added - 1})
    with open_clip(path) as film:
        shown = film.pictures({seam - 1, *(seam + index for index in after)})
    if not copy:
        return checked
    with open_clip(parent.path) as clip:
        pairs = [(shown[seam - 1], clip.pictures({seam - 1})[seam - 1])]
    with open_clip(segment.path) as clip:
        pairs += [(shown[seam + index], picture) for index, picture in clip.pictures(after).items()]
    if any((one.to_ndarray() != other.to_ndarray()).any() for one, other in pairs):
        return Broken("its pictures at the seam differ from the parts'")
    return checked


@contextmanager
def _new_mp4(path: Path) -> Iterator[OutputContainer]:
    """An MP4 that is written to that path, its header in front. PictureError, OSError where the disk is the reason."""
    import av

    try:
        with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as out:
            yield out
    except av.FFmpegError as error:
        if error.errno in _DISK_ERRORS:
            raise OSError(error.errno, f"the assembled film can't be written: {error.strerror}") from error
        raise PictureError(f"the film can't be written: {error.strerror or error}") from error
    except ValueError as error:
        raise PictureError(f"the film can't be written: {error}") from error
