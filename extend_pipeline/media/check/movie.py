"""The claims of an MP4's header: its tracks, how many samples each has, and whether all lie within the file.

Reads `moov` and, in a fragmented file, every `moof`; never the frames. The claims are checked before libav opens the
file, because libav allocates memory by them.

Fragmented files are accepted, because a provider may send one. Their samples are counted over all fragments. A file
that was cut exactly between two fragments is detected if its header has the total (`mehd`); otherwise the rest is a
complete file, and only the announced length can show the cut.
"""

import struct
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from extend_pipeline.media.check.isobmff import Box, StructureError, find, need, walk, walk_file
from extend_pipeline.media.check.sample_table import bound_samples, count_samples

MAX_HEADER_BYTES: Final = 32 << 20  # a 180 s film with audio needs about 200 kB
MAX_TRACKS: Final = 32  # a film has a few: video, audio, time code; libav keeps a decoder ready for each
_UNKNOWN_DURATION: Final = (0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Track:
    """One track as the header describes it. `claimed_s` is None if the header gives no duration (fragments)."""

    track_id: int
    handler: str
    coding: str
    width: int
    height: int
    samples: int
    claimed_s: float | None

    @property
    def is_video(self) -> bool:
        """Return whether the track holds video."""
        return self.handler == "vide"


@dataclass(frozen=True, slots=True)
class Movie:
    """The tracks of a file with consistent boxes and sample tables."""

    tracks: tuple[Track, ...]
    fragmented: bool

    def video(self, track_id: int) -> Track | None:
        """Return the video track with an id, None if there is none."""
        return next((track for track in self.tracks if track.is_video and track.track_id == track_id), None)


def read_movie(file: BinaryIO, size: int) -> Movie:
    """Read the structure of a file of `size` bytes. Raises StructureError, struct.error."""
    boxes = walk_file(file, size)
    headers = [box for box in boxes if box.kind == b"moov"]
    if not headers:
        raise StructureError("the header 'moov' is missing: the file was cut before it, or never finished")
    if len(headers) > 1:
        raise StructureError(f"the file has {len(headers)} headers 'moov'; one is allowed")
    if not any(box.kind == b"mdat" for box in boxes):
        raise StructureError("the part 'mdat' is missing: there is no video in the file")
    data = _read(file, headers[0])
    movie_clock, fragmented, fragmented_ticks = 0, False, 0
    tracks: list[Track] = []
    for box in walk(data, 0, len(data)):
        if box.kind == b"mvhd":
            movie_clock = _clock(data, box)[0]
        elif box.kind == b"mvex":
            fragmented = True
            fragmented_ticks = _fragmented_ticks(data, box)
        elif box.kind == b"trak":
            if len(tracks) == MAX_TRACKS:
                raise StructureError(f"the file has more than {MAX_TRACKS} tracks, the most allowed")
            tracks.append(_track(data, box, movie_clock=movie_clock, size=size))
    if fragmented:
        counts = _fragment_samples(file, boxes)
        claimed_s = fragmented_ticks / movie_clock if fragmented_ticks and movie_clock else None
        tracks = [
            replace(track, samples=track.samples + counts.get(track.track_id, 0), claimed_s=claimed_s)
            for track in tracks
        ]
    for track in tracks:
        bound_samples(track.samples, track.handler)
    return Movie(tuple(tracks), fragmented)


def _read(file: BinaryIO, box: Box) -> bytes:
    length = box.end - box.body
    if length > MAX_HEADER_BYTES:
        raise StructureError(
            f"the header {box.name!r} is {length:,} bytes long; {MAX_HEADER_BYTES:,} is the most allowed"
        )
    file.seek(box.body)
    return file.read(length)


def _clock(data: bytes, box: Box) -> tuple[int, int | None]:
    """Return ticks a second and duration in ticks of an `mvhd` or `mdhd`; the duration is None if it is not known."""
    wide = data[box.body : box.body + 1] == b"\x01"
    scale, duration = struct.unpack_from(">IQ" if wide else ">II", data, box.body + (20 if wide else 12))
    return scale, None if duration in _UNKNOWN_DURATION or duration == 0 else duration


def _track(data: bytes, trak: Box, *, movie_clock: int, size: int) -> Track:
    tkhd = need(data, trak, b"tkhd")
    wide = data[tkhd.body : tkhd.body + 1] == b"\x01"
    track_id, _, shown = struct.unpack_from(">IIQ" if wide else ">III", data, tkhd.body + (20 if wide else 12))
    mdia = need(data, trak, b"mdia")
    media_clock, stored = _clock(data, need(data, mdia, b"mdhd"))
    (handler,) = struct.unpack_from(">4s", data, need(data, mdia, b"hdlr").body + 8)
    stbl = need(data, need(data, mdia, b"minf"), b"stbl")
    coding, width, height = _description(data, need(data, stbl, b"stsd"), handler)
    # An edit list may show less than is stored, an empty edit more: the smaller claim must be present in the file.
    claims = [ticks / clock for ticks, clock in ((shown, movie_clock), (stored, media_clock)) if ticks and clock]
    if shown in _UNKNOWN_DURATION:
        claims = claims[1:]
    name = handler.decode("latin-1")
    samples = count_samples(data, stbl, size=size, handler=name)
    return Track(track_id, name, coding, width, height, samples, min(claims, default=None))


def _description(data: bytes, stsd: Box, handler: bytes) -> tuple[str, int, int]:
    """Return coding, width and height of the first sample entry; 0 × 0 if it is not video."""
    (entries,) = struct.unpack_from(">I", data, stsd.body + 4)
    if not entries:
        raise StructureError("a track does not say how it is coded ('stsd' is empty)")
    _, kind = struct.unpack_from(">I4s", data, stsd.body + 8)
    if handler != b"vide":
        return kind.decode("latin-1"), 0, 0
    width, height = struct.unpack_from(">HH", data, stsd.body + 8 + 32)
    return kind.decode("latin-1"), width, height


def _fragmented_ticks(data: bytes, mvex: Box) -> int:
    """Return the length of all fragments in ticks of the movie's clock, 0 if the header does not have it."""
    mehd = find(data, mvex, b"mehd")
    if mehd is None:
        return 0
    wide = data[mehd.body : mehd.body + 1] == b"\x01"
    (ticks,) = struct.unpack_from(">Q" if wide else ">I", data, mehd.body + 4)
    return 0 if ticks in _UNKNOWN_DURATION else int(ticks)


def _fragment_samples(file: BinaryIO, boxes: list[Box]) -> dict[int, int]:
    """Return the number of samples by track id over all fragments (`moof/traf/trun`)."""
    counts: dict[int, int] = {}
    for moof in (box for box in boxes if box.kind == b"moof"):
        data = _read(file, moof)
        for traf in (box for box in walk(data, 0, len(data)) if box.kind == b"traf"):
            (track_id,) = struct.unpack_from(">I", data, need(data, traf, b"tfhd").body + 4)
            for trun in (box for box in walk(data, traf.body, traf.end) if box.kind == b"trun"):
                flags, count = struct.unpack_from(">II", data, trun.body)
                row = 4 * (flags & 0xF00).bit_count()
                if trun.body + 8 + count * row > trun.end:
                    raise StructureError(f"a fragment says it has {count:,} samples, but its table is too small")
                counts[track_id] = counts.get(track_id, 0) + count
    return counts
