"""What a file is, by its first bytes: never by its name, nor by what its host calls it.

Only a container of this list is ever opened, and with its own demuxer alone. Play lists, image sequences and whatever
else makes libav open other files or addresses are none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from extend_pipeline.media.check import matroska, streams

HEAD_BYTES: Final = 4_096  # a Matroska header may name its kind some hundred bytes in


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of file. `demuxer` is libav's name for what reads it; `walk` raises StructureError where the file's own
    structure says that bytes are missing, and is None for MP4 and its family, which `movie.py` reads."""

    name: str
    suffix: str
    demuxer: str
    walk: Callable[[BinaryIO, int], None] | None = None


@dataclass(frozen=True, slots=True)
class NoFilm:
    """The file is none of the containers; `reason` is a sentence for a person."""

    reason: str


MP4: Final = Container("MP4", ".mp4", "mp4")
QUICKTIME: Final = Container("QuickTime", ".mov", "mov")
WEBM: Final = Container("WebM", ".webm", "matroska", matroska.walk)
MATROSKA: Final = Container("Matroska", ".mkv", "matroska", matroska.walk)
AVI: Final = Container("AVI", ".avi", "avi", streams.walk_avi)
FLV: Final = Container("Flash video", ".flv", "flv", streams.walk_flv)
OGG: Final = Container("Ogg", ".ogv", "ogg", streams.walk_ogg)
ASF: Final = Container("Windows Media", ".wmv", "asf", streams.walk_asf)
TS: Final = Container("MPEG transport stream", ".ts", "mpegts", streams.walk_ts)
PS: Final = Container("MPEG program stream", ".mpg", "mpeg", streams.walk_ps)

_BRANDS: Final[Mapping[bytes, Container]] = {
    b"qt": QUICKTIME,
    b"3gp": Container("3GPP", ".3gp", "mp4"),
    b"3g2": Container("3GPP2", ".3g2", "mp4"),
}
_IMAGE_BRANDS: Final = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
_OLD_QUICKTIME: Final = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_OTHERS: Final[Mapping[bytes, str]] = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "compressed data (gzip)",
    b"ID3": "sound without pictures (MP3)",
    b"fLaC": "sound without pictures (FLAC)",
    b"#EXTM3U": "a play list",
}


def recognise(path: Path) -> Container | NoFilm:
    """Return the container of a file by its first bytes. OSError where the file can't be read."""
    with path.open("rb") as file:
        return recognise_bytes(file.read(HEAD_BYTES))


def recognise_bytes(head: bytes) -> Container | NoFilm:
    """Return the container of a file that begins with these bytes: `HEAD_BYTES`, or all there are."""
    if not head:
        return NoFilm("the file is empty")
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12])
    if head[4:8] in _OLD_QUICKTIME:
        return QUICKTIME
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _of_document_type(head)
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return AVI
    for start, container in ((b"FLV\x01", FLV), (b"OggS", OGG), (streams.ASF_HEADER, ASF), (b"\0\0\x01\xba", PS)):
        if head.startswith(start):
            return container
    if streams.ts_packet_bytes(head):
        return TS
    return NoFilm(_impostor(head))


def _of_brand(brand: bytes) -> Container | NoFilm:
    if brand in _IMAGE_BRANDS:
        return NoFilm(f"this is a picture ({brand.decode()}), not a video")
    return next((container for start, container in _BRANDS.items() if brand.startswith(start)), MP4)


def _of_document_type(head: bytes) -> Container | NoFilm:
    match matroska.document_type(head):
        case "webm":
            return WEBM
        case "matroska":
            return MATROSKA
        case _:
            return NoFilm("this is an EBML file of an unknown kind, neither WebM nor Matroska")


def _impostor(head: bytes) -> str:
    """Say what the file is instead of a film."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"<":
        return "this is a web page or XML message, not a video (an error page saved as .mp4?)"
    if text[:1] in (b"{", b"["):
        return "this is a JSON message, not a video (an error answer saved as .mp4?)"
    if head[4:8] in (b"moof", b"styp"):
        return f"the MP4 starts with {head[4:8].decode()!r} instead of 'ftyp': its beginning is missing"
    if head.startswith(b"RIFF"):
        return f"this is not a video: a RIFF file of the kind {head[8:12]!r} (a WebP picture, or sound?)"
    for start, kind in _OTHERS.items():
        if head.startswith(start):
            return f"this is {kind}, not a video"
    return f"this is not a video of a known kind: it starts with {head[:8]!r}"
