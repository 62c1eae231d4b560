"""What Kling checks before it makes a task: the body's fields, then whether this video can be extended now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from extend_pipeline.sandbox.store.records import Task, Video, seconds_text
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.fields import is_http_url, read_object

_FIELDS = (
    "video_id",
    "prompt",
    "negative_prompt",
    "cfg_scale",
    "watermark_info",
    "callback_url",
    "external_task_id",
)
# docs/upstream/kling.md, "Submit": both prompts.
_PROMPT_LIMIT = 2500
# docs/upstream/kling.md, "Source".
_V1_0 = ("kling-v1", "kling-v1-0")
_MODELS = (*_V1_0, "kling-v1-5", "kling-v1-6")
# docs/upstream/kling.md, "Length": 180 s; source and result are both held to it.
_MAX_MS = 180_000
# docs/upstream/kling.md, "Retention": 30 days.
KEPT_MS = 30 * 86_400_000


@dataclass(frozen=True)
class Submit:
    """A create request whose fields are all as documented."""

    video_id: str
    prompt: str | None
    negative_prompt: str | None
    cfg_scale: float | None
    watermark: bool | None
    callback_url: str | None
    external_task_id: str | None


def read_submit(content_type: str, body: bytes) -> Submit | Refusal:
    """Read a create request (docs/upstream/kling.md, "Submit"). `watermark_info` is an object."""
    given = read_object(body, content_type)
    if isinstance(given, str):
        return Refusal(1200, given)
    unknown = sorted(given.keys() - set(_FIELDS))
    if unknown:
        return Refusal(1201, f"unknown parameter: {', '.join(unknown)}")
    if "video_id" not in given:
        return Refusal(1201, "video_id is required")
    for name in ("video_id", "prompt", "negative_prompt", "callback_url", "external_task_id"):
        if name in given and not _is_text(given[name]):
            return Refusal(1201, f"{name} must be a string")
    for name in ("video_id", "external_task_id"):
        if given.get(name) == "":
            return Refusal(1201, f"{name} must not be empty")
    return _read_limits(given)


def _read_limits(given: dict[str, Any]) -> Submit | Refusal:
    for name in ("prompt", "negative_prompt"):
        if (length := len(given.get(name, ""))) > _PROMPT_LIMIT:
            return Refusal(1201, f"{name} cannot exceed {_PROMPT_LIMIT} characters, got {length}")
    scale = given.get("cfg_scale")
    if "cfg_scale" in given and (not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 <= scale <= 1):
        return Refusal(1201, "cfg_scale must be a number in [0, 1]")
    mark = given.get("watermark_info")
    if "watermark_info" in given and not (
        isinstance(mark, dict) and mark.keys() == {"enabled"} and isinstance(mark["enabled"], bool)
    ):
        return Refusal(1201, 'watermark_info must be {"enabled": true or false}')
    callback = given.get("callback_url")
    if callback is not None and not is_http_url(callback):
        return Refusal(1201, "callback_url must be an http or https URL")
    return Submit(
        video_id=given["video_id"],
        prompt=given.get("prompt"),
        negative_prompt=given.get("negative_prompt"),
        cfg_scale=None if scale is None else float(scale),
        watermark=None if mark is None else mark["enabled"],
        callback_url=callback,
        external_task_id=given.get("external_task_id"),
    )


def refuse_source(submit: Submit, source: Video | None, now_ms: int) -> Refusal | None:
    """Return whether this account's video can be extended at all, and with these fields.

    `source` is None for a video that does not exist, is not finished or belongs to another account.
    """
    if source is None or now_ms - source.created_ms >= KEPT_MS:
        return Refusal(1203, f"video not found: {submit.video_id}")
    if source.model not in _MODELS:
        return Refusal(1201, f"video extension does not support model {source.model}")
    if source.model in _V1_0 and (submit.negative_prompt is not None or submit.cfg_scale is not None):
        return Refusal(1201, f"negative_prompt and cfg_scale are not supported for videos of {source.model}")
    return None


def refuse_length(source: Video, result: Video) -> Refusal | None:
    """Neither the source nor what would come of it may be longer than 3 minutes."""
    if max(source.duration_ms, result.duration_ms) <= _MAX_MS:
        return None
    longest = seconds_text(_MAX_MS)
    return Refusal(1201, f"total duration cannot exceed {longest} s: source {seconds_text(source.duration_ms)} s")


def refuse_duplicate(submit: Submit, earlier: Task | None) -> Refusal | None:
    """`external_task_id` must be unique for each user (docs/upstream/kling.md, "External ids")."""
    if earlier is None:
        return None
    return Refusal(1201, f"external_task_id already exists: {submit.external_task_id}")


def _is_text(value: object) -> bool:
    """Return a string that can be written as UTF-8; JSON also allows halves of surrogate pairs."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
