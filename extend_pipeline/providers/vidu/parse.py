"""From an answer of ModelVerse to an outcome, for Vidu (docs/upstream/vidu.md). Pure, and never raises."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    Output,
    QueryOutcome,
    SubmitOutcome,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.wire.json import child, seconds_to_ms, timestamp_ms
from extend_pipeline.providers.wire.presigned import presigned_expiry_ms
from extend_pipeline.providers.wire.response import (
    ParsedResponse,
    RawResponse,
    classify_query_failure,
    classify_rejection,
    malformed,
    parse_response,
)

# 404 is not among them: ModelVerse documents none, and what one would mean for a submit nobody knows
STATUSES: Final = frozenset({400, 401, 403, 429})

STATES: Final = {
    "pending": TaskState.SUBMITTED,
    "running": TaskState.PROCESSING,
    "success": TaskState.SUCCEEDED,
    "failure": TaskState.FAILED,
    "expired": TaskState.FAILED,  # documented by a sibling interface (docs/upstream/vidu.md, "States")
}


def parse_vidu_submit(raw: RawResponse) -> SubmitOutcome:
    """What the answer to a submit means: accepted with `output.task_id`, else rejected by a documented 4xx, else
    unknown."""
    reading = _read(raw)
    if not reading.ok:
        return classify_rejection(reading, documented=STATUSES)
    output = child(reading.value, "output")
    task_id = reading.guard.id(child(output, "task_id"))
    if task_id is None:
        return Unknown("the answer says success and names no task", reading.answer)
    word = reading.guard.text(child(output, "task_status"), cap=64)
    return Accepted(task_id, STATES.get(word.lower(), TaskState.SUBMITTED), reading.answer)


def parse_vidu_query(raw: RawResponse, *, asked: str) -> QueryOutcome:
    """What the answer to a look-up of `asked` means. Times are seconds at ModelVerse, milliseconds here."""
    reading = _read(raw)
    view = _view(reading) if reading.readable else None
    if view is None:
        return (
            malformed(reading, "the answer says success and shows no task")
            if reading.ok
            else classify_query_failure(reading)
        )
    if view.task_id != asked:
        return malformed(reading, f"asked for the task {asked}, and the answer is about {view.task_id}")
    return Found(view)


def _view(reading: ParsedResponse) -> TaskView | None:
    guard, output = reading.guard, child(reading.value, "output")
    task_id = guard.id(child(output, "task_id"))
    if task_id is None:
        return None
    outputs, warnings = _outputs(reading, child(output, "urls"))
    word = guard.text(child(output, "task_status"), cap=64)
    state = STATES.get(word.lower())
    if state is None:
        warnings.append(f"the status word {word!r} is not documented; taken as still running")
        state = TaskState.PROCESSING
    elif state is TaskState.SUCCEEDED and not outputs:
        warnings.append("the task says it succeeded and shows no video URL; taken as still running")
        state = TaskState.PROCESSING
    message = guard.text(child(output, "error_message"))
    if not message and reading.error is not None:
        message = guard.text(reading.error.message)
    if word.lower() == "expired":
        message = message or "the task expired before it was run"
    done = state is TaskState.SUCCEEDED
    return TaskView(
        task_id=task_id,
        state=state,
        status_word=word,
        message=message,
        outputs=outputs,
        created_ms=timestamp_ms(child(output, "submit_time")),
        updated_ms=timestamp_ms(child(output, "finish_time")),
        # the body of a failure carries usage as well: it tells what was asked for, not what was made
        added_ms=_added(child(child(reading.value, "usage"), "duration")) if done else None,
        expires_ms=presigned_expiry_ms(outputs[0].url) if outputs else None,
        warnings=tuple(warnings),
        raw=reading.answer.raw,
    )


def _outputs(reading: ParsedResponse, urls: object) -> tuple[tuple[Output, ...], list[str]]:
    outputs: list[Output] = []
    warnings: list[str] = []
    for value in urls if isinstance(urls, list) else []:
        url = reading.guard.url(value)
        if url is None:
            warnings.append("a video of the result has no usable URL; left out")
        else:
            # the URL is what the next hop extends; how long the file is, ModelVerse does not say
            outputs.append(Output(url=url, video_id=url, watermark_url=None, duration_ms=None))
    return tuple(outputs), warnings[:5]


def _added(seconds: object) -> int | None:
    return seconds_to_ms(seconds) or None


def _read(raw: RawResponse) -> ParsedResponse:
    """ModelVerse puts the request's id into the error's `param`."""
    reading = parse_response(raw)
    if reading.error is None or reading.answer.request_id or not reading.error.param:
        return reading
    request_id = reading.guard.text(reading.error.param, cap=128)
    return replace(reading, answer=replace(reading.answer, request_id=request_id or None))
