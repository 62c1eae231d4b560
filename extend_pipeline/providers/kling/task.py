"""Parse a task of Kling's from a query or a list row (docs/upstream/kling.md, "Query"). Pure, and never raises."""

from typing import Final

from extend_pipeline.providers.protocol import Output, TaskState, TaskView
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import child, seconds_to_ms, timestamp_ms, units_to_micros
from extend_pipeline.providers.wire.response import read_state

STATES: Final = {
    "submitted": TaskState.SUBMITTED,
    "processing": TaskState.PROCESSING,
    "succeed": TaskState.SUCCEEDED,
    "succeeded": TaskState.SUCCEEDED,  # a newer interface's spelling (docs/upstream/kling.md, "States")
    "failed": TaskState.FAILED,
}


def read_task(data: object, *, guard: Guard, raw: str) -> TaskView | None:
    """Return a task, or None without an object with a valid `task_id`."""
    task_id = guard.id(child(data, "task_id"))
    if task_id is None:
        return None
    info, parent = child(data, "task_info"), child(child(data, "task_info"), "parent_video")
    outputs, warnings = _outputs(child(data, "task_result"), guard)
    word = guard.text(child(data, "task_status"), cap=64)
    state = read_state(word, STATES, has_output=bool(outputs), warnings=warnings)
    units = child(data, "final_unit_deduction")
    units_micros = units_to_micros(units)
    if units_micros is not None and units_micros < 0:
        units_micros = None  # a task gives no refund; the bill will show the charge
    if units_micros is None and units not in (None, ""):
        warnings.append(f"final_unit_deduction {guard.text(units, cap=40)!r} is no number of units")
    return TaskView(
        task_id=task_id,
        state=state,
        status_word=word,
        external_task_id=guard.id(child(info, "external_task_id")) or guard.id(child(data, "external_task_id")),
        message=guard.text(child(data, "task_status_msg")),
        parent_video_id=guard.id(child(parent, "id")),
        parent_url=guard.url(child(parent, "url")),
        parent_duration_ms=seconds_to_ms(child(parent, "duration")),
        outputs=outputs,
        units_micros=units_micros,
        created_ms=timestamp_ms(child(data, "created_at")),
        updated_ms=timestamp_ms(child(data, "updated_at")),
        warnings=tuple(warnings),
        raw=raw,
    )


def _outputs(result: object, guard: Guard) -> tuple[tuple[Output, ...], list[str]]:
    videos = child(result, "videos")
    if isinstance(videos, dict):  # seen re-serialised: one video without its list
        videos = [videos]
    if not isinstance(videos, list):
        return (), []
    outputs: list[Output] = []
    warnings: list[str] = []
    for video in videos:
        url = guard.url(child(video, "url"))
        if url is None:
            warnings.append("a video of the result has no usable URL; left out")
            continue
        outputs.append(
            Output(
                url=url,
                video_id=guard.id(child(video, "id")),
                watermark_url=guard.url(child(video, "watermark_url")),
                duration_ms=seconds_to_ms(child(video, "duration")),
            )
        )
    return tuple(outputs), warnings[:5]
