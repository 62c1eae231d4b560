"""A picture that travels inside a request's body as a data URI: read, checked, encoded, and named in the ledger by its
sha256 instead of its megabytes (docs/upstream/vidu.md, "Last frame")."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline.config.fields.image_header import read_picture

DECODED_LIMIT: Final = 10_000_000  # "the length after decoding has to be below 10M"; the smaller reading of M
WIDEST: Final = 4  # "between 1:4 and 4:1"
TEXT_KEPT: Final = 8192  # characters; what is longer is no URL (see addresses.parse_url) but a picture in base64

_DATA_URI: Final = re.compile(r"data:([^,;]{0,64})(?:;[^,;]{1,64})*,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BadPicture:
    """Why a picture can't be sent, and what would do."""

    message: str


def picture_for_the_wire(value: str, *, sha256: str | None = None) -> str | BadPicture:
    """What goes into the body for `value`: a URL as it is; `file:/absolute/path` read and encoded; a data URI checked.

    The file has to be the one that was planned: where `sha256` (hex) is given, other bytes are refused.
    """
    if value.startswith("file:"):
        data = _read(Path(value.removeprefix("file:")))
        if isinstance(data, BadPicture):
            return data
        name = Path(value).name
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            return BadPicture(f"the picture {name} is not the one that was planned; it was changed. Plan again")
        mime = _checked(data, name)
        if isinstance(mime, BadPicture):
            return mime
        return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
    if value[:5].lower() == "data:":
        return _data_uri(value)
    return value


def picture_for_the_ledger(value: str, *, sha256: str | None = None) -> str:
    """The same value in at most a few hundred characters: a file by its name and sha256, a data URI or bare base64 by
    its type, length and sha256, a URL as it is. Reads nothing."""
    if value.startswith("file:"):
        return f"file:{Path(value).name};sha256={sha256 or 'unknown'}"
    found = _DATA_URI.match(value)
    if found is None and len(value) <= TEXT_KEPT:
        return value
    kind = f"data:{found[1]}" if found else "base64:"
    digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
    return f"{kind};characters={len(value)};sha256={digest}"


def _read(path: Path) -> bytes | BadPicture:
    if not path.is_absolute():
        return BadPicture(f"the picture {path.name} is not named by an absolute path")
    try:
        if not path.is_file():
            return BadPicture(f"the picture {path.name} is no file; put it back or change last_frame_url")
        with path.open("rb") as file:
            return file.read(DECODED_LIMIT + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return BadPicture(f"the picture {path.name} can't be read: {why}")


def _data_uri(value: str) -> str | BadPicture:
    head, comma, content = value.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        return BadPicture("the picture is a data URI without ;base64, in it")
    if len(content) > DECODED_LIMIT * 4 // 3 + 4:
        return _too_large("the picture in the data URI")
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return BadPicture("the picture in the data URI is no base64")
    mime = _checked(data, "in the data URI")
    if isinstance(mime, BadPicture):
        return mime
    return f"data:{mime};base64,{content}"  # with the type that the bytes have, whatever was written


def _checked(data: bytes, name: str) -> str | BadPicture:
    """The MIME type of a picture that may be sent."""
    if len(data) >= DECODED_LIMIT:
        return _too_large(f"the picture {name}")
    picture = read_picture(data)
    if picture is None:
        return BadPicture(f"the picture {name} is no whole png, jpeg or webp")
    if max(picture.width, picture.height) > WIDEST * min(picture.width, picture.height):
        return BadPicture(
            f"the picture {name} is {picture.width}×{picture.height}; its sides have to lie between 1:4 and 4:1"
        )
    return picture.mime


def _too_large(what: str) -> BadPicture:
    return BadPicture(f"{what} has 10 MB or more; make it smaller, or give a URL (up to 50 MB)")
