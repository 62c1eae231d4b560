"""The path and body of a submit to Luma through a reseller (docs/upstream/luma.md, "Submit")."""

from typing import Final
from urllib.parse import quote

from extend_pipeline.providers.protocol import SubmitRequest
from extend_pipeline.providers.wire.inline_image import image_for_ledger
from extend_pipeline.providers.wire.params import ParamTypes, read_params

GENERATIONS: Final = "/generations"  # below the prefix of the account
_PARAMS: Final[ParamTypes] = {
    "prompt": str,
    "expand_prompt": bool,
    "image_url": str,
    "image_end_url": str,
}


def extend_path(source_id: str) -> str:
    """Return `/generations/{task_id}/extend`, below the prefix. Raises ValueError for an id that would change the
    path."""
    if source_id in ("", ".", ".."):
        raise ValueError(f"{source_id!r} is no id of a generation")
    return f"{GENERATIONS}/{quote(source_id, safe='', errors='replace')}/extend"


def luma_body(request: SubmitRequest) -> dict[str, object]:
    """Return `user_prompt` and the request's other fields: the document marks all five as required, but its example
    sends two. Raises ValueError for a request that config should have refused: an unknown parameter, a wrong type."""
    params = read_params(request, _PARAMS, "Luma")
    body: dict[str, object] = {"user_prompt": params.pop("prompt", ""), **params}
    if request.callback_url:
        body["notify_hook"] = request.callback_url
    return body


def ledger_body(request: SubmitRequest) -> dict[str, object]:
    """Return the body for the ledger, with base64 images replaced by their sha256."""
    body = luma_body(request)
    for name in ("image_url", "image_end_url"):
        image = body.get(name)
        if isinstance(image, str):
            body[name] = image_for_ledger(image)
    return body
