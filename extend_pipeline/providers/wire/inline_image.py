"""Images that are sent inside a request's body as data URIs: read, check and encode them, and replace them by their
sha256 for the ledger (docs/upstream/vidu.md, "Last frame")."""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline.base.images import ImageFault, check_image, decode_data_uri, is_data_uri, read_image_file

MAX_URL: Final = 8192  # characters; a longer value is not a URL (see guard.parse_url) but an image in base64

_DATA_URI: Final = re.compile(r"data:([^,;]{0,64})(?:;[^,;]{1,64})*,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BadImage:
    """Why an image can't be sent, and what to do."""

    message: str


def image_for_request(value: str, *, sha256: str | None = None) -> str | BadImage:
    """Return the value for the body: a URL unchanged, the file of `file:/absolute/path` as a data URI, a data URI after
    a check.

    With `sha256` (hex), a file with other bytes is refused, because it is not the one that was planned.
    """
    if value.startswith("file:"):
        return _from_file(Path(value.removeprefix("file:")), sha256)
    if not is_data_uri(value):
        return value
    data = decode_data_uri(value)
    image = data if isinstance(data, ImageFault) else check_image(data)
    if isinstance(image, ImageFault):
        return _bad("in the data URI", image)
    # with the type of the bytes, because the declared one may be wrong
    return f"data:{image.mime};base64,{value.partition(',')[2]}"


def image_for_ledger(value: str, *, sha256: str | None = None) -> str:
    """Return the value for the ledger: a file as its name and sha256, a data URI or bare base64 as its type, length and
    sha256, a URL unchanged. Reads no file."""
    if value.startswith("file:"):
        return f"file:{Path(value).name};sha256={sha256 or 'unknown'}"
    head = _DATA_URI.match(value)
    if head is None and len(value) <= MAX_URL:
        return value
    kind = f"data:{head[1]}" if head else "base64:"
    digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
    return f"{kind};characters={len(value)};sha256={digest}"


def _from_file(path: Path, sha256: str | None) -> str | BadImage:
    if not path.is_absolute():
        return BadImage(f"the image {path.name} is not named by an absolute path")
    try:
        data = read_image_file(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return BadImage(f"the image {path.name} can't be read: {reason}")
    if data is None:
        return BadImage(f"the image {path.name} is missing or no file; restore it or change last_frame_url")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        return BadImage(f"the image {path.name} was changed after the plan was made. Plan again")
    image = check_image(data)
    if isinstance(image, ImageFault):
        return _bad(path.name, image)
    return f"data:{image.mime};base64,{base64.b64encode(data).decode('ascii')}"


def _bad(name: str, fault: ImageFault) -> BadImage:
    return BadImage(f"the image {name} {fault.problem}. {fault.hint}")
