"""What the Luma surface checks in an extend request (docs/upstream/luma.md, "Submit")."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.sandbox.store.records import Video
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.fields import is_http_url, read_object

_IMAGES = ("image_url", "image_end_url")
_FIELDS = ("user_prompt", "expand_prompt", *_IMAGES, "notify_hook")


@dataclass(frozen=True)
class Submit:
    """An extend request whose fields are all as documented."""

    user_prompt: str
    expand_prompt: bool | None
    image_url: str | None
    image_end_url: str | None
    notify_hook: str | None

    def params(self) -> list[object]:
        """Return all that decides what the film looks like, but for its source."""
        return [self.user_prompt, self.expand_prompt, self.image_url, self.image_end_url]


def read_submit(content_type: str, body: bytes) -> Submit | Refusal:
    """Read an extend request. The page marks all five fields required and sends two: only `user_prompt` is."""
    given = read_object(body, content_type)
    if isinstance(given, str):
        return Refusal(1200, given)
    unknown = sorted(given.keys() - set(_FIELDS))
    if unknown:
        return Refusal(1201, f"unknown parameter: {', '.join(unknown)}")
    prompt, expand = given.get("user_prompt"), given.get("expand_prompt")
    if not isinstance(prompt, str) or not prompt:
        return Refusal(1201, "user_prompt is required")
    if "expand_prompt" in given and not isinstance(expand, bool):
        return Refusal(1201, "expand_prompt must be true or false")
    for name in _IMAGES:
        if name in given and (not isinstance(given[name], str) or not given[name]):
            return Refusal(1201, f"{name} must be a URL or base64")
    if "notify_hook" in given and not is_http_url(given["notify_hook"]):
        return Refusal(1201, "notify_hook must be an http or https URL")
    return Submit(prompt, expand, given.get("image_url"), given.get("image_end_url"), given.get("notify_hook"))


def refuse_source(source: Video | None, generation_id: str, now_ms: int, *, made: bool) -> Refusal | None:
    """Return why a source is refused: only a completed generation of the same account can be extended. `made` is
    whether this account made it."""
    if source is None and not made:
        return Refusal(1203, f"generation not found: {generation_id}")
    if source is None or (source.parent_id is not None and source.created_ms > now_ms):
        return Refusal(1201, f"generation is not completed: {generation_id}")
    return None


def read_ids(body: bytes) -> list[str] | Refusal:
    """Return the ids of a batch query, `{"ids": […]}`."""
    given = read_object(body)
    if given == "the body is not JSON":
        return Refusal(1200, given)
    ids = given.get("ids") if isinstance(given, dict) else None
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        return Refusal(1201, 'the body must be {"ids": [strings]}')
    return ids
