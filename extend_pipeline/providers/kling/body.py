"""The body of a submit to Kling (docs/upstream/kling.md, "Submit"). Pure and deterministic."""

import math
import re
from decimal import Decimal
from typing import Final

from extend_pipeline.providers.protocol import SubmitRequest

_OWN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAMS: Final = frozenset({"prompt", "negative_prompt", "cfg_scale", "watermark"})


def submit_body(request: SubmitRequest) -> dict[str, object]:
    """Return `video_id`, `external_task_id`, and the request's prompt, negative_prompt, cfg_scale, watermark_info and
    callback_url, if set. Model and mode are inherited from the source. An empty prompt is left out.

    Raises ValueError for a request that config should have refused: an unknown parameter, a wrong type, an invalid id.
    """
    unknown = sorted(set(request.params) - _PARAMS)
    if unknown:
        raise ValueError(f"Kling's extension has no parameter {', '.join(unknown)}")
    if not request.source_id:
        raise ValueError("there is no video to extend: source_id is empty")
    if not _OWN_ID.fullmatch(request.external_task_id):
        raise ValueError(f"{request.external_task_id!r} is no external_task_id: 1-64 of A-Z a-z 0-9 _ -")
    body: dict[str, object] = {"video_id": request.source_id}
    for name in ("prompt", "negative_prompt"):
        text = request.params.get(name)
        if not isinstance(text, str | None):
            raise ValueError(f"{name} has to be text")
        if text:
            body[name] = text
    scale = request.params.get("cfg_scale")
    if scale is not None:
        body["cfg_scale"] = _scale(scale)
    watermark = request.params.get("watermark")
    if watermark is not None:
        if not isinstance(watermark, bool):
            raise ValueError("watermark has to be true or false")
        body["watermark_info"] = {"enabled": watermark}
    if request.callback_url:
        body["callback_url"] = request.callback_url
    body["external_task_id"] = request.external_task_id
    return body


def _scale(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("cfg_scale has to be a number")
    number = float(value)
    if not (math.isfinite(number) and 0 <= number <= 1):
        raise ValueError(f"cfg_scale {value} lies outside 0-1")
    return number
