"""The body of a submit to Kling (docs/upstream/kling.md, "Submit"). Pure and deterministic."""

import math
import re
from decimal import Decimal
from typing import Final

from extend_pipeline.providers.protocol import SubmitRequest
from extend_pipeline.providers.wire.params import ParamTypes, read_params

_OWN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAMS: Final[ParamTypes] = {
    "prompt": str,
    "negative_prompt": str,
    "cfg_scale": None,
    "watermark": bool,
}


def submit_body(request: SubmitRequest) -> dict[str, object]:
    """Return `video_id`, `external_task_id`, and the request's prompt, negative_prompt, cfg_scale, watermark_info and
    callback_url, if set. Model and mode are inherited from the source. An empty prompt is left out.

    Raises ValueError for a request that config should have refused: an unknown parameter, a wrong type, an invalid id.
    """
    params = read_params(request, _PARAMS, "Kling")
    if not request.source_id:
        raise ValueError("there is no video to extend: source_id is empty")
    if not _OWN_ID.fullmatch(request.external_task_id):
        raise ValueError(f"{request.external_task_id!r} is no external_task_id: 1-64 of A-Z a-z 0-9 _ -")
    body: dict[str, object] = {"video_id": request.source_id, **params}
    if "cfg_scale" in body:
        body["cfg_scale"] = _scale(body["cfg_scale"])
    if "watermark" in body:
        body["watermark_info"] = {"enabled": body.pop("watermark")}
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
