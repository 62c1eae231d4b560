"""Which fields of a create request a reseller takes: `video_id` and `prompt` (docs/upstream/kling-gateway.md,
"Submit"), and what it passes on."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from extend_pipeline.sandbox.kling import checks
from extend_pipeline.sandbox.kling_gateway.settings import Passed
from extend_pipeline.sandbox.store.records import Task
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.fields import read_object

_FIELD_OF = {"watermark": "watermark_info"}


@dataclass(frozen=True)
class GatewaySubmit:
    """What goes on to Kling, and the parent's task id, which stays here."""

    submit: checks.Submit
    parent_task_id: str | None


def read_submit(content_type: str, body: bytes, passes: Collection[Passed]) -> GatewaySubmit | Refusal:
    """Read a create request; a field that is not passed on is refused, so that sending it shows."""
    given = read_object(body)
    if isinstance(given, str):
        return Refusal(1200, given)
    taken = {"video_id", "prompt"} | {_FIELD_OF.get(name, name) for name in passes}
    unknown = sorted(given.keys() - taken)
    if unknown:
        return Refusal(1201, f"unknown parameter: {', '.join(unknown)}")
    parent_task_id = given.pop("task_id", None)
    if parent_task_id is not None and (not isinstance(parent_task_id, str) or not parent_task_id):
        return Refusal(1201, "task_id must be a non-empty string")
    submit = checks.read_submit(content_type, json.dumps(given).encode())
    return submit if isinstance(submit, Refusal) else GatewaySubmit(submit, parent_task_id)


def refuse_parent(given: GatewaySubmit, made_by: Task | None) -> Refusal | None:
    """Return a parent's task id must be that of the task which made the video; seeds were made before anybody
    counted."""
    if given.parent_task_id is None or made_by is None or made_by.task_id == given.parent_task_id:
        return None
    return Refusal(1203, f"video {given.submit.video_id} does not belong to task {given.parent_task_id}")
