"""Build Luma's flat bodies as docs/upstream/luma.md, "Submit" describes them, and how a fault bends them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.store.records import Task, Video, status_at
from extend_pipeline.sandbox.surface.exchange import Json

State = Literal["pending", "queued", "processing", "dreaming", "completed", "failed"]
"""Luma's words for where a generation stands: more of them than other providers have."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Film:
    """A video and the length of its file (ms)."""

    video: Video
    file_ms: int


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


def created(task: Task) -> Json:
    """Return a generation that was just accepted. The prompt is empty in the document's example."""
    return _generation(task.task_id, "pending", task.created_ms)


def seeded(core: Core, film: Film, base_url: str) -> Json:
    """Return a generation that was there from the start."""
    video = film.video
    return _generation(video.video_id, "completed", video.created_ms, files=_files(core, film, base_url))


def made(core: Core, task: Task, film: Film | None, now_ms: int, base_url: str) -> Json:
    """Return a generation made here; `film` is what comes of it, None if it fails. Reads nothing, so that any thread
    may call it."""
    state = state_at(task, now_ms)
    files = _files(core, film, base_url) if film is not None and state == "completed" else None
    body = _generation(task.task_id, state, task.created_ms, prompt=str(task.details["prompt"]), files=files)
    if state == "failed" and core.config.luma.failure_reason:
        body["failure_reason"] = task.failure
    return body


def _files(core: Core, film: Film, base_url: str) -> Json:
    """Return `video` and `video_raw`. `url` is the watermarked one; the clean one is missing where a reseller does not
    give it."""
    config, link = core.config.luma, core.media_url(base_url, film.video)
    marked, clean = f"{link}&watermark=1", link if config.clean_url else ""
    size: Json = {"width": core.config.width, "height": core.config.height}
    length: Json = {"duration": film.file_ms / 1000} if config.raw_duration else {}
    return {
        "video": {"url": marked, **size, "download_url": clean},
        "video_raw": {"url": clean or marked, **size, **length},
    }


def _generation(
    generation_id: str, state: State, created_ms: int, *, prompt: str = "", files: Json | None = None
) -> Json:
    """Return one generation, in the example's order. `created_at` is ISO 8601 in UTC."""
    return {
        "id": generation_id,
        "prompt": prompt,
        "state": state,
        "queue_state": None,
        "created_at": (_EPOCH + timedelta(milliseconds=created_ms)).isoformat(timespec="microseconds")[:-6] + "Z",
        "batch_id": "",
        **(files or {"video": None, "video_raw": None}),
        "liked": None,
        "estimate_wait_seconds": None,
        "thumbnail": None,
        "last_frame": None,
    }


def alter(payload: Json, kind: str) -> bool:
    """Bend an answer, of one generation or of several under "data"; False where there is nothing to bend."""
    data = payload.get("data")
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else [payload]
    changed = [_alter_item(item, kind) for item in items]
    return any(changed)


def _alter_item(item: Json, kind: str) -> bool:
    match kind:
        case "unknown_state":
            item |= {"state": "postprocessing", "video": None, "video_raw": None}
            return True
        case "videos_null":
            there = item["video"] is not None
            item |= {"video": None, "video_raw": None}
            return there
        case "wrapped_failure":
            return _wrap(item)
        case _:
            return False


def _wrap(item: Json) -> bool:
    """Rewrite a task that was just accepted or has failed as a reseller that gave up after its origin had said 201, and
    return whether it is such a task."""
    if item["state"] not in ("pending", "failed"):
        return False
    first: Json = {**item, "state": "pending"}
    first.pop("failure_reason", None)
    item.clear()
    status: Literal["FAILED"] = "FAILED"
    item |= {"gen_api_response": first, "gen_api_status": 201, "status": status}
    return True
