"""Pictures that an extension shall lead to or start from: an address, a data URI, or a file beside the catalogue.

Checked before anything is spent: a provider would refuse a wrong one only after the submit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

from extend_pipeline.config.fields.addresses import web_address
from extend_pipeline.config.fields.image_header import read_picture
from extend_pipeline.config.fields.text import field_error, schema_as

DECODED_LIMIT: Final = 10_000_000  # docs/upstream/vidu.md, "Last frame"; the smaller M
WIDEST: Final = 4  # docs/upstream/vidu.md, "Last frame": between 1:4 and 4:1

_ADDRESS_HINT: Final = "Write an https address, or data:image/png;base64,…"
_FRAME_HINT: Final = "Write an https address, data:image/png;base64,… or the path of a png, jpeg or webp."


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture that can be sent: `url` is an http(s) address, a data URI, or `file:` with an absolute path; the sha256
    (hex) of a file is its identity, so that it may be moved and must not be changed."""

    url: str
    sha256: str | None = None

    @property
    def identity(self) -> str:
        """What the picture is called where a path would say nothing."""
        return self.url if self.sha256 is None else f"sha256:{self.sha256}"


class FrameFolder:
    """Looks pictures up that are named by a path. Each file is read once, however many videos name it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, Frame | PydanticCustomError] = {}

    def frame(self, path: str) -> Frame:
        """The picture at a path, relative to the folder. Raises the refusal of one that can't be sent."""
        found = self._seen.get(path)
        if found is None:
            try:
                found = _file_frame(self._folder, path)
            except PydanticCustomError as error:
                found = error
            self._seen[path] = found
        if isinstance(found, PydanticCustomError):
            raise found
        return found


def picture_address(value: object) -> str:
    """An http(s) address or a data URI of a png, jpeg or webp below 10 MB, unchanged."""
    if isinstance(value, str) and _is_data_uri(value):
        _check_data_uri(value, sides=False)
        return value
    return web_address(value, _ADDRESS_HINT)


def _frame(value: object, info: ValidationInfo) -> Frame:
    if isinstance(value, Frame):
        return value
    if not isinstance(value, str) or not value.strip():
        raise field_error("is no picture", _FRAME_HINT)
    if _is_data_uri(value):
        _check_data_uri(value, sides=True)
        return Frame(value)
    if "://" in value:
        return Frame(web_address(value, _FRAME_HINT))
    folder = info.context if isinstance(info.context, FrameFolder) else FrameFolder(Path.cwd())
    return folder.frame(value.removeprefix("file:"))


def _is_data_uri(value: str) -> bool:
    return value[:5].lower() == "data:"


def _check_data_uri(value: str, *, sides: bool) -> None:
    head, comma, content = value.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise field_error("is a data URI without ;base64, in it", "Write data:image/png;base64,…")
    if len(content) > DECODED_LIMIT * 4 // 3 + 4:
        raise _too_large()
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise field_error("holds no base64", "Encode the picture again, without spaces and line ends.") from error
    _check(data, sides=sides)


def _file_frame(folder: Path, written: str) -> Frame:
    try:
        absolute = (folder / written).resolve()
        data = _beginning(absolute)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no path"
        raise field_error(f"can't be read: {reason}", _FRAME_HINT) from error
    if data is None:
        raise field_error(
            "is neither an address nor a file beside the catalogue", f"{_FRAME_HINT} Looked for in {folder}."
        )
    _check(data, sides=True)
    return Frame(f"file:{absolute}", hashlib.sha256(data).hexdigest())


def _beginning(path: Path) -> bytes | None:
    """All of a file that may be sent, or so much that it is seen to be too large; None where there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(DECODED_LIMIT + 1)


def _check(data: bytes, *, sides: bool) -> None:
    if len(data) >= DECODED_LIMIT:
        raise _too_large()
    picture = read_picture(data)
    if picture is None:
        raise field_error("is no whole png, jpeg or webp", "Give a picture of one of these kinds.")
    width, height = picture.width, picture.height
    if sides and max(width, height) > WIDEST * min(width, height):
        raise field_error(f"is {width}×{height}", "Its sides must lie between 1:4 and 4:1: crop it.")


def _too_large() -> PydanticCustomError:
    return field_error("has 10 MB or more", "Make the picture smaller, or give an address of it.")


# dumped by identity: a home that was moved holds the same pictures
FrameField = Annotated[
    Frame,
    BeforeValidator(_frame),
    PlainSerializer(lambda frame: frame.identity, return_type=str),
    schema_as({"type": "string", "minLength": 1}),
]
PictureAddress = Annotated[str, BeforeValidator(picture_address), schema_as({"type": "string", "format": "uri"})]
