"""The body of a submit to Vidu through ModelVerse (docs/upstream/vidu.md, "Submit")."""

from collections.abc import Mapping
from typing import Any, Final

from extend_pipeline.providers.protocol import SubmitRequest
from extend_pipeline.providers.vidu.prices import MAX_SECONDS, MIN_SECONDS, MODELS, RESOLUTIONS
from extend_pipeline.providers.wire.inline_image import BadImage, image_for_ledger, image_for_request
from extend_pipeline.providers.wire.params import ParamTypes, read_params

_PARAMS: Final[ParamTypes] = {
    "prompt": str,
    "model": str,
    "seconds": None,
    "resolution": str,
    "last_frame_url": str,
    "last_frame_sha256": str,
}


def ledger_body(request: SubmitRequest) -> dict[str, object]:
    """Return the body for the ledger, with an image that isn't a URL replaced by its sha256; pure. Raises ValueError
    for a request that config should have refused: an unknown parameter, a wrong type, a value that
    docs/upstream/vidu.md doesn't list."""
    params = read_params(request, _PARAMS, "Vidu")
    frame, sha256 = _frame(params)
    return _body(request, params, None if frame is None else image_for_ledger(frame, sha256=sha256))


def wire_body(request: SubmitRequest) -> dict[str, object] | BadImage:
    """Return the body to send; reads and encodes a local image. Raises ValueError as `ledger_body` does."""
    params = read_params(request, _PARAMS, "Vidu")
    frame, sha256 = _frame(params)
    image = None if frame is None else image_for_request(frame, sha256=sha256)
    return image if isinstance(image, BadImage) else _body(request, params, image)


def _body(request: SubmitRequest, params: Mapping[str, Any], frame: str | None) -> dict[str, object]:
    if not request.source_id:
        raise ValueError("there is no video to extend: source_id, its URL, is empty")
    inputs: dict[str, object] = {"video_url": request.source_id}
    if frame:
        inputs["last_frame_url"] = frame
    if "prompt" in params:
        inputs["prompt"] = params["prompt"]
    return {
        "model": _one_of(params, "model", MODELS),
        "input": inputs,
        "parameters": {
            "vidu_type": "extend",
            "duration": _seconds(params.get("seconds")),
            "resolution": _one_of(params, "resolution", RESOLUTIONS),
        },
    }


def _frame(params: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the address of the last frame and the hash of its file."""
    frame, sha256 = params.get("last_frame_url"), params.get("last_frame_sha256")
    if frame is not None and frame.startswith("file:") and sha256 is None:
        raise ValueError("last_frame_url names a file, and last_frame_sha256 is missing")
    return frame, sha256


def _one_of(params: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value: str | None = params.get(name)
    if value not in choices:
        raise ValueError(f"{name} {value!r} is none of {', '.join(choices)}")
    return value


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not MIN_SECONDS <= value <= MAX_SECONDS:
        raise ValueError(f"seconds {value!r} is no whole number from {MIN_SECONDS} to {MAX_SECONDS}")
    return value
