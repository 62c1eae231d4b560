"""Check images by their first bytes (png, jpeg, webp), in files and in data URIs. Decodes no pixels.

The limits are those of docs/upstream/vidu.md, "Last frame".
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 10_000_000  # "the length after decoding has to be below 10M"; the smaller meaning of M
MAX_RATIO: Final = 4  # "between 1:4 and 4:1"

_PNG: Final = b"\x89PNG\r\n\x1a\n"
# Markers of a JPEG that begin a frame and hold its size: SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


@dataclass(frozen=True, slots=True)
class Image:
    """An image's kind and size. `mime` is image/png, image/jpeg or image/webp; sizes are in pixels, before any rotation
    by metadata."""

    mime: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageFault:
    """Why an image can't be sent: `problem` is a predicate ("is …") that follows the image's name, `hint` a sentence
    that says what to do."""

    problem: str
    hint: str


TOO_LARGE: Final = ImageFault("has 10 MB or more", "Make the image smaller, or give an address of it.")


def check_image(data: bytes, *, sides: bool = True) -> Image | ImageFault:
    """Return the image that the bytes are, or why it can't be sent. Without `sides`, proportions are not checked."""
    if len(data) >= MAX_BYTES:
        return TOO_LARGE
    image = read_header(data)
    if image is None:
        return ImageFault("is no whole png, jpeg or webp", "Give an image of one of these kinds.")
    if sides and max(image.width, image.height) > MAX_RATIO * min(image.width, image.height):
        return ImageFault(f"is {image.width}×{image.height}", "Its sides must lie between 1:4 and 4:1: crop it.")
    return image


def is_data_uri(value: str) -> bool:
    """Return whether a text is a data URI."""
    return value[:5].lower() == "data:"


def decode_data_uri(uri: str) -> bytes | ImageFault:
    """Return the bytes of a data URI, or the fault when it has none or too many."""
    head, comma, content = uri.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        return ImageFault("is a data URI without ;base64, in it", "Write data:image/png;base64,…")
    if len(content) > MAX_BYTES * 4 // 3 + 4:
        return TOO_LARGE
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        return ImageFault("holds no base64", "Encode the image again, without spaces and line ends.")


def read_image_file(path: Path) -> bytes | None:
    """Return the bytes of a file, at most one more than `check_image` accepts; None when there is no file. Raises
    OSError, and ValueError for an impossible path."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def read_header(data: bytes) -> Image | None:
    """Return the kind and size of an image; None when the bytes are none of the three kinds or end before the size. The
    file's name is not considered."""
    if data.startswith(_PNG):
        image = _png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        image = _jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        image = _webp(data)
    else:
        return None
    return image if image is not None and image.width > 0 and image.height > 0 else None


def _png(data: bytes) -> Image | None:
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return Image("image/png", _big(data[16:20]), _big(data[20:24]))


def _jpeg(data: bytes) -> Image | None:
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
            return Image("image/jpeg", _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7]))
        else:
            at += 2 + max(_big(data[at + 2 : at + 4]), 2)
    return None


def _webp(data: bytes) -> Image | None:
    chunk, at = data[12:16], data[20:30]
    if chunk == b"VP8X" and len(at) == 10:
        return Image("image/webp", _little(at[4:7]) + 1, _little(at[7:10]) + 1)
    if chunk == b"VP8L" and len(at) >= 5 and at[0] == 0x2F:
        bits = _little(at[1:5])
        return Image("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8 " and len(at) == 10 and at[3:6] == b"\x9d\x01\x2a":
        return Image("image/webp", _little(at[6:8]) & 0x3FFF, _little(at[8:10]) & 0x3FFF)
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
