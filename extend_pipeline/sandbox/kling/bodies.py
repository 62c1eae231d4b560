"""Build Kling's responses, field by field as docs/upstream/kling.md shows them, and how a fault bends them."""

from __future__ import annotations

from collections.abc import Callable

from extend_pipeline.sandbox.store.records import Task, Video, seconds_text, status_at, units_text
from extend_pipeline.sandbox.surface.errors import request_id
from extend_pipeline.sandbox.surface.exchange import Json

Link = Callable[[Video], str]


def envelope(data: object) -> Json:
    """Return a success: `{code: 0, message, request_id, data}`."""
    return {"code": 0, "message": "SUCCEED", "request_id": request_id(), "data": data}


def created(task: Task) -> Json:
    """`data` of the answer to a create request; always "submitted", however short the run time."""
    return {
        "task_id": task.task_id,
        "task_status": "submitted",
        "task_info": _external(task),
        "created_at": task.created_ms,
        "updated_at": task.created_ms,
    }


def queried(task: Task, videos: dict[str, Video], now_ms: int, link: Link) -> Json:
    """`data` of a query. Times in ms, durations as strings of seconds, units as a string, absent until the end.

    `videos` must hold the task's parent and its result.
    """
    status, since_ms = status_at(task, now_ms)
    parent = videos[task.parent_video_id]
    result: Json = {}
    if status == "succeed" and task.video_id is not None:
        result = {"videos": [_video(videos[task.video_id], link, watermark=task.watermark is True)]}
    body: Json = {
        "task_id": task.task_id,
        "task_status": status,
        "task_status_msg": task.failure if status == "failed" else "",
        "task_info": {"parent_video": _video(parent, link, watermark=False), **_external(task)},
        "task_result": result,
        "watermark_info": {"enabled": task.watermark is True},
    }
    if status == "succeed" or (status == "failed" and not task.refunded):
        body["final_unit_deduction"] = units_text(task.units_milli)
    return {**body, "created_at": task.created_ms, "updated_at": since_ms}


def called_back(task: Task, videos: dict[str, Video], at_ms: int, link: Link) -> Json:
    """Return the body of a callback: a query's `data`, not wrapped, without anything about watermarks
    (docs/upstream/kling.md, "Callbacks")."""
    body = queried(task, videos, at_ms, link)
    del body["watermark_info"]
    for video in _videos(body):
        video.pop("watermark_url", None)
    return body


def alter(payload: Json, kind: str) -> bool:
    """Bend an answer; False where there is nothing of that kind to bend."""
    if kind == "code_200":
        payload["code"] = 200
        return True
    data = payload["data"]
    items = [item for item in (data if isinstance(data, list) else [data]) if isinstance(item, dict)]
    changed = [_alter_item(item, kind) for item in items]
    return any(changed)


def _alter_item(item: Json, kind: str) -> bool:
    match kind:
        case "integer_ids":
            item["task_id"] = int(str(item["task_id"]))
            for video in _videos(item):
                if "id" in video:
                    video["id"] = int(str(video["id"]))
            return True
        case "missing_task_info":
            return item.pop("task_info", None) is not None
        case "no_unit_deduction":
            return item.pop("final_unit_deduction", None) is not None
        case "videos_null":
            there = bool(_videos(item))
            if there:
                item["task_result"] = {"videos": None}
            return there
        case "unknown_state":
            item |= {"task_status": "reviewing", "task_result": {}}
            return True
        case _:
            return False


def _videos(item: Json) -> list[Json]:
    result = item.get("task_result")
    videos = result.get("videos") if isinstance(result, dict) else None
    return videos if isinstance(videos, list) else []


def _external(task: Task) -> Json:
    return {} if task.external_task_id is None else {"external_task_id": task.external_task_id}


def _video(video: Video, link: Link, *, watermark: bool) -> Json:
    url = link(video)
    marked: Json = {"watermark_url": f"{url}&watermark=1"} if watermark else {}
    return {"id": video.video_id, "url": url, **marked, "duration": seconds_text(video.duration_ms)}
