"""The body of a submit to a Kling gateway (docs/upstream/kling-gateway.md, "Submit"). Pure and deterministic."""

from collections.abc import Collection
from dataclasses import replace

from extend_pipeline.providers.kling.body import submit_body
from extend_pipeline.providers.kling_gateway.models import FORWARDABLE, FORWARDABLE_PARAMS
from extend_pipeline.providers.protocol import SubmitRequest


def check_forwarded(fields: Collection[str]) -> frozenset[str]:
    """Return the fields as a set. Raises ValueError for one that no gateway forwards."""
    unknown = sorted(set(fields) - set(FORWARDABLE))
    if unknown:
        raise ValueError(f"passes: {', '.join(unknown)} is none of {', '.join(sorted(FORWARDABLE))}")
    return frozenset(fields)


def gateway_body(request: SubmitRequest, forwarded: frozenset[str]) -> dict[str, object]:
    """Return `video_id`, `prompt` and the fields that the gateway forwards. Other fields are left out, because the
    gateway or Kling may refuse them; config has reported them.

    Raises ValueError as `kling.body.submit_body` does.
    """
    dropped = set(FORWARDABLE_PARAMS) - forwarded
    body = submit_body(
        replace(
            request,
            params={name: value for name, value in request.params.items() if name not in dropped},
            callback_url=request.callback_url if "callback_url" in forwarded else None,
        )
    )
    if "external_task_id" not in forwarded:
        del body["external_task_id"]
    if "task_id" in forwarded and request.parent_task_id:
        body["task_id"] = request.parent_task_id
    return body
