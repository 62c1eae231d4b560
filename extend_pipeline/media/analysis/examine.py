"""Everything that is found out about a result, from opening it once and decoding each of the needed frames once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from extend_pipeline.media.analysis.classify import OutputKind, classify_output
from extend_pipeline.media.analysis.kept_frames import read_frames, write_frames
from extend_pipeline.media.analysis.poster import choose_panels, draw_poster
from extend_pipeline.media.analysis.seam import (
    UNMEASURED,
    ParentFrames,
    Seam,
    measure_seam,
    parent_frames,
    sampled,
)
from extend_pipeline.media.check.probe import InvalidFile, Probe, check_file
from extend_pipeline.media.frames import FrameReader, open_frames
from extend_pipeline.media.join.clip import Clip, ReadPackets, open_clip
from extend_pipeline.media.join.film import Joined, join_by_copying
from extend_pipeline.media.libav import FrameError, reading

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

POSTER_BYTES: Final = 10_000


@dataclass(frozen=True, slots=True)
class ResultContext:
    """What a result is examined with.

    `parent` is the film that it continues, if that is in the store, and `parent_frames` a file of its sampled frames.
    `parent_ms` is the parent's length in the ledger. `kind` is the documented kind; None: it is classified, by
    `longest_added_ms` (`classify_output`). `keep` is an empty file for the sampled frames of the result, which are
    wanted if it is a full film, shorter than `keep_below_ms`. `poster_bytes` is the most that a poster may have. `film`
    is an empty file for the film of the parent and the result, which is written if all of it can be copied, with at
    most `max_film_bytes`.
    """

    parent: Path | None = None
    parent_frames: Path | None = None
    parent_ms: int | None = None
    kind: OutputKind | None = None
    longest_added_ms: int = 0
    keep: Path | None = None
    keep_below_ms: int | None = None
    poster_bytes: int = POSTER_BYTES
    film: Path | None = None
    max_film_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Examined:
    """What a whole file shows. `seam` is None without a parent file, `poster` (JPEG) None if its frames can't be
    decoded. `kept`: the sampled frames were written to the context's file. `film`: so was the film of both parts."""

    probe: Probe
    seam: Seam | None = None
    poster: bytes | None = None
    kept: bool = False
    film: Joined | None = None


def examine(path: Path, context: ResultContext) -> Examined | InvalidFile:
    """Check a file, compare it with its parent, draw its poster, and write the film of both. Raises OSError; content
    never raises."""
    found: list[Examined] = []
    packets = None if context.film is None else ReadPackets(path)

    def look(probe: Probe, film: FrameReader) -> None:
        with ExitStack() as opened:
            parent = _open_parent(context, opened)
            try:
                with reading():
                    examined = _look(probe, film, context, parent)
            except FrameError:
                examined = Examined(probe, seam=None if context.parent is None else UNMEASURED)
            if parent is not None and packets is not None and context.film is not None:
                examined = replace(examined, film=_write_film(parent, packets, film, context.film, context))
            found.append(examined)

    checked = check_file(path, look, None if packets is None else packets.keep)
    return checked if isinstance(checked, InvalidFile) else found[0]


def _open_parent(context: ResultContext, opened: ExitStack) -> Clip | None:
    """Open the parent for as long as `opened` if a film is to be written; return None if not, or if it can't be
    joined. Raises OSError."""
    if context.film is None or context.parent is None:
        return None
    try:
        return opened.enter_context(open_clip(context.parent))
    except FrameError:
        return None


def _write_film(
    parent: Clip, packets: ReadPackets, result: FrameReader, out: Path, context: ResultContext
) -> Joined | None:
    """Write the film of both parts if all of it can be copied; return None where it isn't written. An error says
    nothing of the result, and the film is tried again by itself."""
    try:
        with reading():
            return join_by_copying(parent, packets.clip(result), out=out, max_bytes=context.max_film_bytes)
    except (FrameError, OSError):
        return None


def _look(probe: Probe, film: FrameReader, context: ResultContext, parent: Clip | None) -> Examined:
    """Decode the frames that seam, poster and the next hop need, and compare them."""
    before = None if context.parent is None else _read_parent(context.parent, context.parent_frames, film, parent)
    choices = [
        choose_panels(film, parent_ms=context.parent_ms, segment=segment)
        for segment in (False, True)
        if context.kind is None or segment == (context.kind is OutputKind.SEGMENT)
    ]
    needed = {0} if before is None else {0, *before.partners(film).values()}
    for panels in choices:
        needed |= {*panels} if context.parent is None else {*panels[1:]}
    below_ms = context.keep_below_ms
    keep = context.keep if below_ms is None or probe.duration_ms < below_ms else None
    if keep is not None:
        needed |= {*sampled(film)}
    decoded = film.decode(needed)
    seam = None if context.parent is None else _seam(before, film, decoded)
    kind = context.kind or classify_output(
        parent_ms=context.parent_ms,
        probed_ms=probe.duration_ms,
        seam=seam,
        longest_added_ms=context.longest_added_ms,
    )
    first, new, last = map(decoded.get, choices[-1] if kind is OutputKind.SEGMENT else choices[0])
    if context.parent is not None:
        first = None if before is None else before.end
    return Examined(
        probe=probe,
        seam=seam,
        poster=_poster(first, new, last, max_bytes=context.poster_bytes),
        kept=keep is not None and kind is OutputKind.FULL and write_frames(keep, parent_frames(film, decoded)),
    )


def _read_parent(path: Path, kept: Path | None, result: FrameReader, opened: Clip | None = None) -> ParentFrames | None:
    """Return the frames of a parent that the result is compared with, kept or decoded; None if the parent can't be
    read. `opened` is the parent if it is open. Raises OSError."""
    if kept is not None and (frames := read_frames(kept)) is not None:
        return frames
    try:
        with open_frames(path) if opened is None else nullcontext(opened.film) as film:
            partners = parent_frames(film, {}).partners(result)
            needed = {index for index in sampled(film) if film.at_s(index) in partners}
            return parent_frames(film, film.decode({*needed, len(film.ticks) - 1}))
    except FrameError:
        return None


def _seam(before: ParentFrames | None, film: FrameReader, decoded: Mapping[int, VideoFrame]) -> Seam:
    try:
        with reading():
            return UNMEASURED if before is None else measure_seam(before, film, decoded)
    except FrameError:
        return UNMEASURED


def _poster(
    first: VideoFrame | None, new: VideoFrame | None, last: VideoFrame | None, *, max_bytes: int
) -> bytes | None:
    if first is None or new is None or last is None:
        return None
    try:
        with reading():
            return draw_poster((first, new, last), max_bytes=max_bytes)
    except FrameError:
        return None
