"""The container of a file by its first bytes, never by its name or the host's Content-Type.

Only containers of this list are opened, each with its own demuxer alone. Play lists, image sequences and other formats
that make libav open further files or addresses are not in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from extend_pipeline.media.check import matroska, streams
from extend_pipeline.media.check.movie import Movie, read_movie

HEAD_BYTES: Final = 4_096  # a Matroska header may name its kind some hundred bytes in


@dataclass(frozen=True, slots=True)
class Container:
    """One container format. `demuxer` is libav's name for its reader. `walk` raises StructureError or struct.error if
    a file's structure shows that bytes are missing; for the MP4 family it returns the header's claims."""

    name: str
    suffix: str
    demuxer: str
    walk: Callable[[BinaryIO, int], Movie | None]


@dataclass(frozen=True, slots=True)
class NotVideo:
    """The file is none of the containers; `reason` is a sentence for the operator."""

    reason: str


MP4: Final = Container("MP4", ".mp4", "mp4", read_movie)
QUICKTIME: Final = Container("QuickTime", ".mov", "mov", read_movie)
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
    b"3gp": Container("3GPP", ".3gp", "mp4", read_movie),
    b"3g2": Container("3GPP2", ".3g2", "mp4", read_movie),
}
_IMAGE_BRANDS: Final = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
_OLD_QUICKTIME: Final = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_NOT_VIDEO: Final[Mapping[bytes, str]] = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "compressed data (gzip)",
    b"ID3": "audio without video (MP3)",
    b"fLaC": "audio without video (FLAC)",
    b"#EXTM3U": "a play list",
}


def recognise(path: Path) -> Container | NotVideo:
    """Return the container of a file by its first bytes. Raises OSError if the file can't be read."""
    with path.open("rb") as file:
        return recognise_bytes(file.read(HEAD_BYTES))


def recognise_bytes(head: bytes) -> Container | NotVideo:
    """Return the container of a file by its first `HEAD_BYTES` bytes, or by all if it is shorter."""
    if not head:
        return NotVideo("the file is empty")
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _IMAGE_BRANDS:
            return NotVideo(f"this is an image ({brand.decode()}), not a video")
        return next((container for start, container in _BRANDS.items() if brand.startswith(start)), MP4)
    if head[4:8] in _OLD_QUICKTIME:
        return QUICKTIME
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        known = {"webm": WEBM, "matroska": MATROSKA}.get(matroska.document_type(head) or "")
        return known or NotVideo("this is an EBML file of an unknown kind, neither WebM nor Matroska")
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return AVI
    for start, container in ((b"FLV\x01", FLV), (b"OggS", OGG), (streams.ASF_HEADER, ASF), (b"\0\0\x01\xba", PS)):
        if head.startswith(start):
            return container
    if streams.ts_packet_bytes(head):
        return TS
    return NotVideo(_describe_non_video(head))


def _describe_non_video(head: bytes) -> str:
    """Describe a file that is not a video."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"<":
        return "this is a web page or XML message, not a video (an error page saved as .mp4?)"
    if text[:1] in (b"{", b"["):
        return "this is a JSON message, not a video (an error response saved as .mp4?)"
    if head[4:8] in (b"moof", b"styp"):
        return f"the MP4 starts with {head[4:8].decode()!r} instead of 'ftyp': its beginning is missing"
    if head.startswith(b"RIFF"):
        return f"this is not a video: a RIFF file of the kind {head[8:12]!r} (a WebP image, or audio?)"
    for start, kind in _NOT_VIDEO.items():
        if head.startswith(start):
            return f"this is {kind}, not a video"
    return f"this is not a video of a known kind: it starts with {head[:8]!r}"
