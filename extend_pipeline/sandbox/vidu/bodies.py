"""Build responses of ModelVerse as docs/upstream/vidu.md, "Submit" and "Query" describe them (times in seconds), and
as a fault changes them."""

from __future__ import annotations

import uuid

from extend_pipeline.sandbox.store.records import Task, status_at
from extend_pipeline.sandbox.surface.exchange import Json

_STATES = {"submitted": "Pending", "processing": "Running", "succeed": "Success", "failed": "Failure"}


def submitted(task: Task) -> Json:
    """Return the answer to a submit."""
    return {"output": {"task_id": task.task_id}, "request_id": str(uuid.uuid4())}


def status(task: Task, now_ms: int, url: str | None) -> Json:
    """Return the answer to a status query. `usage` comes with the end, also with a bad one, when it means nothing."""
    state, _ = status_at(task, now_ms)
    output: Json = {"task_id": task.task_id, "task_status": _STATES[state]}
    if state == "succeed":
        output["urls"] = [url]
    output["submit_time"] = task.created_ms // 1000
    if state not in ("succeed", "failed"):
        return {"output": output, "request_id": ""}
    output["finish_time"] = task.done_ms // 1000
    if state == "failed":
        output["task_status"] = "Expired" if task.details.get("expired") else "Failure"
        output["error_message"] = task.failure
    return {"output": output, "usage": {"duration": task.details["seconds"]}, "request_id": ""}


def alter(payload: Json, kind: str) -> bool:
    """Bend an answer; False where there is nothing of that kind to bend."""
    output = payload["output"]
    if not isinstance(output, dict):
        return False
    match kind:
        case "unknown_state":
            output["task_status"] = "Postprocessing"
            for name in ("urls", "finish_time", "error_message"):
                output.pop(name, None)
            payload.pop("usage", None)
            return True
        case "videos_null":
            there = "urls" in output
            if there:
                output["urls"] = None
            return there
        case "no_unit_deduction":
            return payload.pop("usage", None) is not None
        case _:
            return False
