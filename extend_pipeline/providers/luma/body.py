"""The path and body of a submit to Luma through a reseller (docs/upstream/luma.md, "Submit")."""

from typing import Final
from urllib.parse import quote

from extend_pipeline.providers.protocol import SubmitRequest
from extend_pipeline.providers.wire.inline_image import image_for_ledger

GENERATIONS: Final = "/generations"  # below the prefix of the account
_PARAMS: Final = frozenset({"prompt", "expand_prompt", "image_url", "image_end_url"})


def extend_path(source_id: str) -> str:
    """Return `/generations/{task_id}/extend`, below the prefix. Raises ValueError for an id that would change the
    path."""
    if source_id in ("", ".", ".."):
        raise ValueError(f"{source_id!r} is no id of a generation")
    return f"{GENERATIONS}/{quote(source_id, safe='', errors='replace')}/extend"


def luma_body(request: SubmitRequest) -> dict[str, object]:
    """Return `user_prompt` and the request's other fields: the document marks all five as required, but its example
    sends two. Raises ValueError for a request that config should have refused: an unknown parameter, a wrong type."""
    unknown = sorted(set(request.params) - _PARAMS)
    if unknown:
        raise ValueError(f"Luma's extension has no parameter {', '.join(unknown)}")
    prompt = request.params.get("prompt")
    if not isinstance(prompt, str | None):
        raise ValueError("prompt has to be text")
    body: dict[str, object] = {"user_prompt": prompt or ""}
    expand = request.params.get("expand_prompt")
    if not isinstance(expand, bool | None):
        raise ValueError("expand_prompt has to be true or false")
    if expand is not None:
        body["expand_prompt"] = expand
    for name in ("image_url", "image_end_url"):
        image = request.params.get(name)
        if not isinstance(image, str | None):
            raise ValueError(f"{name} has to be text")
        if image:
            body[name] = image
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
