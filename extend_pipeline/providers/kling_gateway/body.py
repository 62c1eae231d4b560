"""The body of a submit through a Kling gateway (docs/upstream/kling-gateway.md, "Submit"). Pure, and the same for the
same request."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from extend_pipeline.providers.kling.body import submit_body
from extend_pipeline.providers.protocol import SubmitRequest

PASSES: Final = frozenset({"task_id", "negative_prompt", "cfg_scale", "callback_url", "external_task_id", "watermark"})
"""What some gateways hand on beyond `video_id` and `prompt`; `task_id` is the parent's, which the document's text asks
for and its schema lacks."""

_PARAMS_TO_PASS: Final = frozenset({"negative_prompt", "cfg_scale", "watermark"})


def check_passes(passes: Collection[str]) -> frozenset[str]:
    """Return the set of fields. Raises ValueError for one that no gateway passes."""
    unknown = sorted(set(passes) - PASSES)
    if unknown:
        raise ValueError(f"passes: {', '.join(unknown)} is none of {', '.join(sorted(PASSES))}")
    return frozenset(passes)


def gateway_body(request: SubmitRequest, passes: frozenset[str]) -> dict[str, object]:
    """`video_id` and `prompt`, and of the rest what the gateway passes; nothing else, because a gateway may refuse, or
    hand on and be refused for, what it doesn't know. What is not passed is left out without a word: config tells.

    Raises ValueError where config should have caught it (see kling_body.submit_body).
    """
    held_back = _PARAMS_TO_PASS - passes
    body = submit_body(
        replace(
            request,
            params={name: value for name, value in request.params.items() if name not in held_back},
            callback_url=request.callback_url if "callback_url" in passes else None,
        )
    )
    if "external_task_id" not in passes:
        del body["external_task_id"]
    if "task_id" in passes and request.parent_task_id:
        body["task_id"] = request.parent_task_id
    return body
