"""The body of a submit to Vidu through ModelVerse (docs/upstream/vidu.md, "Submit")."""

from collections.abc import Mapping
from typing import Final

from extend_pipeline.providers.protocol import SubmitRequest
from extend_pipeline.providers.vidu.prices import MAX_SECONDS, MIN_SECONDS, MODELS, RESOLUTIONS
from extend_pipeline.providers.wire.inline_image import BadImage, image_for_ledger, image_for_request

_PARAMS: Final = frozenset({"prompt", "model", "seconds", "resolution", "last_frame_url", "last_frame_sha256"})


def ledger_body(request: SubmitRequest) -> dict[str, object]:
    """Return the body for the ledger, with an image that isn't a URL replaced by its sha256; pure. Raises ValueError
    for a request that config should have refused: an unknown parameter, a wrong type, a value that
    docs/upstream/vidu.md doesn't list."""
    frame, sha256 = _frame(request.params)
    return _body(request, None if frame is None else image_for_ledger(frame, sha256=sha256))


def wire_body(request: SubmitRequest) -> dict[str, object] | BadImage:
    """Return the body to send; reads and encodes a local image. Raises ValueError as `ledger_body` does."""
    frame, sha256 = _frame(request.params)
    image = None if frame is None else image_for_request(frame, sha256=sha256)
    return image if isinstance(image, BadImage) else _body(request, image)


def _body(request: SubmitRequest, frame: str | None) -> dict[str, object]:
    params = request.params
    unknown = sorted(set(params) - _PARAMS)
    if unknown:
        raise ValueError(f"Vidu's extension has no parameter {', '.join(unknown)}")
    if not request.source_id:
        raise ValueError("there is no video to extend: source_id, its URL, is empty")
    inputs: dict[str, object] = {"video_url": request.source_id}
    if frame:
        inputs["last_frame_url"] = frame
    if prompt := _text(params, "prompt"):
        inputs["prompt"] = prompt
    return {
        "model": _one_of(params, "model", MODELS),
        "input": inputs,
        "parameters": {
            "vidu_type": "extend",
            "duration": _seconds(params.get("seconds")),
            "resolution": _one_of(params, "resolution", RESOLUTIONS),
        },
    }


def _frame(params: Mapping[str, object]) -> tuple[str | None, str | None]:
    frame, sha256 = _text(params, "last_frame_url"), _text(params, "last_frame_sha256")
    if frame and frame.startswith("file:") and not sha256:
        raise ValueError("last_frame_url names a file, and last_frame_sha256 is missing")
    return frame or None, sha256 or None


def _text(params: Mapping[str, object], name: str) -> str | None:
    value = params.get(name)
    if not isinstance(value, str | None):
        raise ValueError(f"{name} has to be text")
    return value


def _one_of(params: Mapping[str, object], name: str, choices: tuple[str, ...]) -> str:
    value = _text(params, name)
    if value not in choices:
        raise ValueError(f"{name} {value!r} is none of {', '.join(choices)}")
    return value


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not MIN_SECONDS <= value <= MAX_SECONDS:
        raise ValueError(f"seconds {value!r} is no whole number from {MIN_SECONDS} to {MAX_SECONDS}")
    return value
