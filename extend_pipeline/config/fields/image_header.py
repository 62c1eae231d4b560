"""A picture's kind and size, read from its first bytes: png, jpeg and webp. Pure; decodes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_PNG: Final = b"\x89PNG\r\n\x1a\n"
# Markers of a JPEG that begin a frame and hold its size: SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


@dataclass(frozen=True, slots=True)
class Picture:
    """`mime` is image/png, image/jpeg or image/webp; sizes are in pixels, before any rotation that metadata asks
    for."""

    mime: str
    width: int
    height: int


def read_picture(data: bytes) -> Picture | None:
    """What kind of picture the bytes are and how large, or None where they are none of the three kinds or are cut
    before their size. A file's name is not asked."""
    if data.startswith(_PNG):
        found = _png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        found = _jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = _webp(data)
    else:
        return None
    return found if found is not None and found.width > 0 and found.height > 0 else None


def _png(data: bytes) -> Picture | None:
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return Picture("image/png", _big(data[16:20]), _big(data[20:24]))


def _jpeg(data: bytes) -> Picture | None:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            if at + 9 > len(data):
                return None
            return Picture("image/jpeg", _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7]))
        else:
            at += 2 + max(_big(data[at + 2 : at + 4]), 2)
    return None


def _webp(data: bytes) -> Picture | None:
    chunk, at = data[12:16], data[20:30]
    if chunk == b"VP8X" and len(at) == 10:
        return Picture("image/webp", _little(at[4:7]) + 1, _little(at[7:10]) + 1)
    if chunk == b"VP8L" and len(at) >= 5 and at[0] == 0x2F:
        bits = _little(at[1:5])
        return Picture("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8 " and len(at) == 10 and at[3:6] == b"\x9d\x01\x2a":
        return Picture("image/webp", _little(at[6:8]) & 0x3FFF, _little(at[8:10]) & 0x3FFF)
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
