"""Fields that are images: an address, a data URI, or a file beside the catalogue.

They are checked before anything is spent, because a provider refuses an invalid image only after the submit.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

from extend_pipeline.base.disk import file_mark
from extend_pipeline.base.images import ImageFault, check_image, decode_data_uri, is_data_uri, read_image_file
from extend_pipeline.config.fields.addresses import web_address
from extend_pipeline.config.fields.text import field_error, schema_as

_ADDRESS_HINT: Final = "Write an https address, or data:image/png;base64,…"
_FRAME_HINT: Final = "Write an https address, data:image/png;base64,… or the path of a png, jpeg or webp."


@dataclass(frozen=True, slots=True)
class Frame:
    """An image that can be sent. `url` is an http(s) address, a data URI, or `file:` with an absolute path. A file is
    identified by its SHA-256 (hex), so that it may be moved."""

    url: str
    sha256: str | None = None

    @property
    def identity(self) -> str:
        """Return the hash of a file, or the URL."""
        return self.url if self.sha256 is None else f"sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A valid image that a catalogue file names: as written, where it lies, its mark (`base.disk.file_mark`, taken
    before it was read) and its hash."""

    written: str
    path: str
    mark: tuple[int, ...] | None
    sha256: str

    @property
    def frame(self) -> Frame:
        """Return the image as it can be sent."""
        return Frame(f"file:{self.path}", self.sha256)


class FrameFolder:
    """Reads images that are named by a path, each file once. `known` images are not read again."""

    def __init__(self, folder: Path, known: Iterable[ImageFile] = ()) -> None:
        self._folder = folder
        self._cache: dict[str, Frame | PydanticCustomError] = {image.written: image.frame for image in known}
        self.images: list[ImageFile] = []

    def frame(self, path: str) -> Frame:
        """Return the image at a path, relative to the folder. Raises the field's error if it can't be sent."""
        frame = self._cache.get(path)
        if frame is None:
            try:
                image = _read_image(self._folder, path)
                self.images.append(image)
                frame = image.frame
            except PydanticCustomError as error:
                frame = error
            self._cache[path] = frame
        if isinstance(frame, PydanticCustomError):
            raise frame
        return frame


def image_address(value: object) -> str:
    """Return an http(s) address or a data URI of a png, jpeg or webp below 10 MB, unchanged."""
    if isinstance(value, str) and is_data_uri(value):
        _check_data_uri(value, sides=False)
        return value
    return web_address(value, _ADDRESS_HINT)


def _frame(value: object, info: ValidationInfo) -> Frame:
    if isinstance(value, Frame):
        return value
    if not isinstance(value, str) or not value.strip():
        raise field_error("is no image", _FRAME_HINT)
    if is_data_uri(value):
        _check_data_uri(value, sides=True)
        return Frame(value)
    if "://" in value:
        return Frame(web_address(value, _FRAME_HINT))
    folder = info.context if isinstance(info.context, FrameFolder) else FrameFolder(Path.cwd())
    return folder.frame(value.removeprefix("file:"))


def _check_data_uri(value: str, *, sides: bool) -> None:
    data = decode_data_uri(value)
    if isinstance(data, ImageFault):
        raise field_error(data.problem, data.hint)
    _check(data, sides=sides)


def _read_image(folder: Path, written: str) -> ImageFile:
    try:
        absolute = (folder / written).resolve()
        mark = file_mark(absolute)
        data = read_image_file(absolute)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no path"
        raise field_error(f"can't be read: {reason}", _FRAME_HINT) from error
    if data is None:
        raise field_error(
            "is neither an address nor a file beside the catalogue", f"{_FRAME_HINT} Looked for in {folder}."
        )
    _check(data, sides=True)
    return ImageFile(written, str(absolute), mark, hashlib.sha256(data).hexdigest())


def _check(data: bytes, *, sides: bool) -> None:
    image = check_image(data, sides=sides)
    if isinstance(image, ImageFault):
        raise field_error(image.problem, image.hint)


# dumped by identity: a home that was moved holds the same images
FrameField = Annotated[
    Frame,
    BeforeValidator(_frame),
    PlainSerializer(lambda frame: frame.identity, return_type=str),
    schema_as({"type": "string", "minLength": 1}),
]
ImageAddress = Annotated[str, BeforeValidator(image_address), schema_as({"type": "string", "format": "uri"})]
