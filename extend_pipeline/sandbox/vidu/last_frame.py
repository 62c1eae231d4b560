"""The checks of `input.last_frame_url` (docs/upstream/vidu.md, "Last frame"): a URL, or an image in the request
itself."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from extend_pipeline.sandbox.vidu.errors import Refusal, param_error
from extend_pipeline.sandbox.vidu.images import read_image

# docs/upstream/vidu.md, "Last frame": png, jpeg, jpg and webp; less than 10 MB decoded; between 1:4 and 4:1.
_FORMATS = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "webp": "webp"}
_DECODED_LIMIT = 10 * 1024 * 1024
_WIDEST = 4
_DATA_URI = re.compile(r"data:image/([a-z]+);base64,(.*)", re.DOTALL)


def refuse_last_frame(value: object) -> Refusal | None:
    """Return why it won't do, or None. What lies behind a URL is not looked at: the sandbox sends no request."""
    if not isinstance(value, str) or not value:
        return param_error("input.last_frame_url must be a URL or a data URI")
    if value.startswith("data:"):
        return _refuse_data(value)
    try:
        parts = urlsplit(value)
    except ValueError:
        return param_error("input.last_frame_url is no URL")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return param_error("input.last_frame_url must be an http or https URL, or data:image/png;base64,…")
    suffix = PurePosixPath(parts.path).suffix.lstrip(".").lower()
    if suffix and suffix not in _FORMATS:
        return param_error(f"input.last_frame_url: image format {suffix} is not supported")
    return None


def _refuse_data(value: str) -> Refusal | None:
    match = _DATA_URI.fullmatch(value)
    if match is None or match[1] not in _FORMATS:
        return param_error("input.last_frame_url must begin with data:image/<png|jpeg|jpg|webp>;base64,")
    try:
        data = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        return param_error("input.last_frame_url: the base64 cannot be decoded")
    if len(data) >= _DECODED_LIMIT:
        return param_error("input.last_frame_url must be less than 10 MB when decoded")
    image = read_image(data)
    if image is None or image.format != _FORMATS[match[1]]:
        return param_error(f"input.last_frame_url is no {match[1]} image")
    sides = sorted((image.width, image.height))
    if sides[0] == 0 or sides[1] > _WIDEST * sides[0]:
        return param_error(f"input.last_frame_url: {image.width}x{image.height} is not between 1:4 and 4:1")
    return None
