"""Luma's flat bodies as docs/upstream/luma.md, "Submit" describes them, and how a fault bends them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from extend_pipeline.sandbox.luma.states import State
from extend_pipeline.sandbox.surface.exchange import Json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class File:
    """A finished generation's file: two links to it, size in pixels, and its length in seconds where it is known."""

    url: str
    download_url: str
    width: int
    height: int
    duration: float | None


def generation(
    generation_id: str,
    state: State,
    *,
    created_ms: int,
    prompt: str = "",
    file: File | None = None,
    failure_reason: str | None = None,
) -> Json:
    """Return one generation, in the example's order. `created_at` is ISO 8601 in UTC."""
    raw: Json | None = None
    if file is not None:
        raw = {"url": file.download_url or file.url, "width": file.width, "height": file.height}
        raw |= {} if file.duration is None else {"duration": file.duration}
    size: Json = {} if file is None else {"width": file.width, "height": file.height}
    body: Json = {
        "id": generation_id,
        "prompt": prompt,
        "state": state,
        "queue_state": None,
        "created_at": (_EPOCH + timedelta(milliseconds=created_ms)).isoformat(timespec="microseconds")[:-6] + "Z",
        "batch_id": "",
        "video": None if file is None else {"url": file.url, **size, "download_url": file.download_url},
        "video_raw": raw,
        "liked": None,
        "estimate_wait_seconds": None,
        "thumbnail": None,
        "last_frame": None,
    }
    return body if failure_reason is None else {**body, "failure_reason": failure_reason}


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
