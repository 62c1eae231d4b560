"""Small images of chosen sizes: real headers, no pixels."""

from __future__ import annotations

import struct


def png(width: int, height: int, total: int = 0) -> bytes:
    """Return a PNG's signature and IHDR, filled up to `total` bytes."""
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
    return header.ljust(total, b"\x00")


def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG with an EXIF segment that holds a thumbnail's frame, and padding, before its own frame."""
    thumbnail = b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 9, 9)
    exif = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    tables = b"\xff\xff\xc4\x00\x04\x00\x00" + b"\xff\x01"
    return b"\xff\xd8" + exif + tables + b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03"


def webp(form: str, width: int, height: int) -> bytes:
    """Return a WebP of one of its three forms: `VP8 `, `VP8L`, `VP8X`."""
    match form:
        case "VP8X":
            body = b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        case "VP8L":
            body = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + b"\x00" * 5
        case _:
            body = b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + form.encode() + struct.pack("<I", len(body)) + body
