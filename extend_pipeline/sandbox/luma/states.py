"""Luma's words for where a generation stands: more of them than other providers have."""

from __future__ import annotations

from typing import Literal

from extend_pipeline.sandbox.store.records import Task, status_at

State = Literal["pending", "queued", "processing", "dreaming", "completed", "failed"]


def state_at(task: Task, now_ms: int) -> State:
    """Waiting is "pending", then "queued"; working is "processing", then "dreaming"; each for half of the time."""
    status, since_ms = status_at(task, now_ms)
    match status:
        case "succeed":
            return "completed"
        case "failed":
            return "failed"
        case "submitted":
            return "pending" if now_ms - since_ms < (task.processing_ms - since_ms) / 2 else "queued"
        case "processing":
            return "processing" if now_ms - since_ms < (task.done_ms - since_ms) / 2 else "dreaming"
