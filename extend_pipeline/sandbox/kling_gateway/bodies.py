"""Build a reseller's responses: Kling's, passed through as docs/upstream/kling-gateway.md shows them, or anew."""

from __future__ import annotations

from decimal import Decimal

from extend_pipeline.sandbox.kling import bodies
from extend_pipeline.sandbox.kling.bodies import Link
from extend_pipeline.sandbox.kling_gateway.settings import Reserialised, Timestamps
from extend_pipeline.sandbox.store.records import Task, Video, units_text
from extend_pipeline.sandbox.surface.exchange import Json

_TIMES = ("created_at", "updated_at")


def created(task: Task, how: Reserialised | None) -> Json:
    """Return the answer to a create request: `data` holds id, state and two times, nothing else
    (docs/upstream/kling-gateway.md, "Submit")."""
    data = bodies.created(task)
    del data["task_info"]
    return written(bodies.envelope(data), how)


def queried(
    task: Task, videos: dict[str, Video], now_ms: int, link: Link, *, origin_units: Decimal | None = None
) -> Json:
    """Return a query's envelope. `origin_units` is what Kling took from the reseller; None leaves it out of the
    body."""
    return bodies.envelope(_with_origin_units(bodies.queried(task, videos, now_ms, link), origin_units))


def called_back(
    task: Task, videos: dict[str, Video], at_ms: int, link: Link, *, origin_units: Decimal | None = None
) -> Json:
    """Return a callback's body: the origin's own, which knows nothing of what the reseller charges."""
    return _with_origin_units(bodies.called_back(task, videos, at_ms, link), origin_units)


def _with_origin_units(data: Json, origin_units: Decimal | None) -> Json:
    if data.pop("final_unit_deduction", None) is not None and origin_units is not None:
        data["final_unit_deduction"] = units_text(int(origin_units * 1000))
    return data


def written(envelope: Json, how: Reserialised | None) -> Json:
    """Return an envelope as a reseller writes it anew; None passes it through as it is."""
    if how is None:
        return envelope
    data = dict(envelope["data"]) if isinstance(envelope["data"], dict) else {}
    for name in _TIMES:
        data[name] = _time(int(str(data[name])), how.timestamps)
    result = data.get("task_result")
    videos = result.get("videos") if isinstance(result, dict) else None
    if how.url_only and videos:
        data["task_result"] = {"videos": [{"url": video["url"]} for video in videos]}
    anew: Json = {**envelope, "code": how.code, "data": _turned(data) if how.reorder else data}
    return _turned(anew) if how.reorder else anew


def _time(ms: int, how: Timestamps) -> int | str:
    match how:
        case "ms":
            return ms
        case "seconds":
            return ms // 1000
        case "text":
            return str(ms)


def _turned(item: Json) -> Json:
    return dict(reversed(item.items()))
