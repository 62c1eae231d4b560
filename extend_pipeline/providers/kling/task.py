"""Parse a task of Kling's from a query or a list row (docs/upstream/kling.md, "Query"). Pure, and never raises."""

from collections.abc import Collection
from typing import Final

from extend_pipeline.providers.protocol import Output, TaskState, TaskView
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import members, seconds_to_ms, timestamp_ms, units_to_micros
from extend_pipeline.providers.wire.response import read_state

STATES: Final = {
    "submitted": TaskState.SUBMITTED,
    "processing": TaskState.PROCESSING,
    "succeed": TaskState.SUCCEEDED,
    "succeeded": TaskState.SUCCEEDED,  # a newer interface's spelling (docs/upstream/kling.md, "States")
    "failed": TaskState.FAILED,
}
RUNNING: Final = {word: state for word, state in STATES.items() if state in (TaskState.SUBMITTED, TaskState.PROCESSING)}


def read_task(data: object, *, guard: Guard, raw: str) -> TaskView | None:
    """Return a task, or None without an object with a valid `task_id`."""
    task = members(data)
    task_id = guard.id(task.get("task_id"))
    if task_id is None:
        return None
    info = members(task.get("task_info"))
    parent = members(info.get("parent_video"))
    outputs, warnings = _outputs(members(task.get("task_result")).get("videos"), guard)
    word = guard.text(task.get("task_status"), cap=64)
    state = read_state(word, STATES, has_output=bool(outputs), warnings=warnings)
    units = task.get("final_unit_deduction")
    units_micros = units_to_micros(units)
    if units_micros is not None and units_micros < 0:
        units_micros = None  # a task gives no refund; the bill will show the charge
    if units_micros is None and units not in (None, ""):
        warnings.append(f"final_unit_deduction {guard.text(units, cap=40)!r} is no number of units")
    return TaskView(
        task_id=task_id,
        state=state,
        status_word=word,
        external_task_id=guard.id(info.get("external_task_id")) or guard.id(task.get("external_task_id")),
        message=guard.text(task.get("task_status_msg")),
        parent_video_id=guard.id(parent.get("id")),
        parent_url=guard.url(parent.get("url")),
        parent_duration_ms=seconds_to_ms(parent.get("duration")),
        outputs=outputs,
        units_micros=units_micros,
        created_ms=timestamp_ms(task.get("created_at")),
        updated_ms=timestamp_ms(task.get("updated_at")),
        warnings=tuple(warnings),
        raw=raw,
    )


def read_running(data: object, task_ids: Collection[str]) -> TaskView | None:
    """Return one of these tasks that only runs, with its state and when it was made. Return None for any other task,
    and for one whose row holds results or charges, of which `read_task` may warn."""
    task = members(data)
    task_id, word = task.get("task_id"), task.get("task_status")
    if not isinstance(task_id, str) or task_id not in task_ids or not isinstance(word, str):
        return None
    state = RUNNING.get(word)
    has_more = members(task.get("task_result")).get("videos") or task.get("final_unit_deduction") not in (None, "")
    if state is None or has_more:
        return None
    return TaskView(task_id=task_id, state=state, status_word=word, created_ms=timestamp_ms(task.get("created_at")))


def _outputs(videos: object, guard: Guard) -> tuple[tuple[Output, ...], list[str]]:
    if isinstance(videos, dict):  # seen re-serialised: one video without its list
        videos = [videos]
    if not isinstance(videos, list):
        return (), []
    outputs: list[Output] = []
    warnings: list[str] = []
    for video in map(members, videos):
        url = guard.url(video.get("url"))
        if url is None:
            warnings.append("a video of the result has no usable URL; left out")
            continue
        outputs.append(
            Output(
                url=url,
                video_id=guard.id(video.get("id")),
                watermark_url=guard.url(video.get("watermark_url")),
                duration_ms=seconds_to_ms(video.get("duration")),
            )
        )
    return tuple(outputs), warnings[:5]
