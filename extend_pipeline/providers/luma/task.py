"""Parse a generation of Luma's from the response to a submit, a query or a batch query (docs/upstream/luma.md). Pure,
and never raises."""

from dataclasses import replace
from typing import Final

from extend_pipeline.providers.protocol import Output, TaskState, TaskView
from extend_pipeline.providers.wire.callback_body import WRAPPED
from extend_pipeline.providers.wire.errors import read_error
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import child, iso_ms, seconds_to_ms, timestamp_ms
from extend_pipeline.providers.wire.presigned import presigned_expiry_ms
from extend_pipeline.providers.wire.response import read_state

STATES: Final = {
    "pending": TaskState.SUBMITTED,
    "queued": TaskState.SUBMITTED,
    "processing": TaskState.PROCESSING,
    "dreaming": TaskState.PROCESSING,
    "completed": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
}


def wrapped_failure(value: object) -> bool:
    """Return whether a value is a gateway's record of a failure around Luma's own body."""
    status = child(value, "status")
    return isinstance(value, dict) and WRAPPED in value and isinstance(status, str) and status.upper() == "FAILED"


def read_generation(value: object, *, guard: Guard, raw: str, requested: str | None = None) -> TaskView | None:
    """Return a generation, or None without a valid id.

    A wrapped failure is FAILED regardless of the state in Luma's body, unless that body has a finished video, which was
    paid for and exists. Without an id it counts for `requested`, the generation that was looked up.
    """
    if not (isinstance(value, dict) and WRAPPED in value):
        return _flat(value, guard=guard, raw=raw)
    inside = child(value, WRAPPED)
    inner = _flat(inside, guard=guard, raw=raw)
    if not wrapped_failure(value):
        return inner
    if inner is None:
        if requested is None or guard.id(requested) is None or child(inside, "id") not in (None, ""):
            return None
        inner = TaskView(requested, TaskState.FAILED, "", raw=raw, warnings=("the failure has no generation id",))
    if inner.state is TaskState.SUCCEEDED:
        return replace(inner, warnings=(*inner.warnings, "the gateway reports FAILED beside a finished video"))
    error = read_error(value) or read_error(inside)
    message = (
        inner.message or (guard.text(error.message) if error else "") or guard.text(child(value, "failure_reason"))
    )
    return replace(
        inner,
        state=TaskState.FAILED,
        status_word="FAILED",
        outputs=(),
        expires_ms=None,
        message=message or "the gateway reports a failed generation without a reason",
    )


def _flat(value: object, *, guard: Guard, raw: str) -> TaskView | None:
    task_id = guard.id(child(value, "id"))
    if task_id is None:
        return None
    output = _output(value, task_id, guard)
    warnings: list[str] = []
    word = guard.text(child(value, "state"), cap=64)
    state = read_state(word, STATES, has_output=output is not None, warnings=warnings)
    error = read_error(value)
    return TaskView(
        task_id=task_id,
        state=state,
        status_word=word,
        message=guard.text(child(value, "failure_reason")) or (guard.text(error.message) if error else ""),
        outputs=() if output is None else (output,),
        created_ms=_moment(child(value, "created_at")),
        updated_ms=_moment(child(child(value, "artifact"), "created_at")),
        expires_ms=None if output is None else presigned_expiry_ms(output.url),
        warnings=tuple(warnings),
        raw=raw,
    )


def _output(value: object, task_id: str, guard: Guard) -> Output | None:
    """Return the clean file (`download_url`) if there is one; `url` may have a watermark."""
    video = child(value, "video")
    preview, clean = guard.url(child(video, "url")), guard.url(child(video, "download_url"))
    url = clean or preview
    if url is None:
        return None
    return Output(
        url=url,
        video_id=task_id,  # the next hop extends the generation
        watermark_url=preview if preview != url else None,
        duration_ms=seconds_to_ms(child(child(value, "video_raw"), "duration")) or None,
    )


def _moment(value: object) -> int | None:
    return iso_ms(value) or timestamp_ms(value)
