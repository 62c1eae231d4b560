"""Parse ModelVerse's responses about Vidu (docs/upstream/vidu.md) into outcomes. Pure, and never raises."""

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
    read_state,
)

# without 404, because ModelVerse documents none, so that its meaning for a submit is unknown
STATUSES: Final = frozenset({400, 401, 403, 429})

STATES: Final = {
    "pending": TaskState.SUBMITTED,
    "running": TaskState.PROCESSING,
    "success": TaskState.SUCCEEDED,
    "failure": TaskState.FAILED,
    "expired": TaskState.FAILED,  # documented by a sibling interface (docs/upstream/vidu.md, "States")
}


def parse_vidu_submit(raw: RawResponse) -> SubmitOutcome:
    """Parse the response to a submit: accepted with `output.task_id`, else rejected by a documented 4xx, else
    unknown."""
    parsed = _parse(raw)
    if not parsed.ok:
        return classify_rejection(parsed, documented=STATUSES)
    output = child(parsed.value, "output")
    task_id = parsed.guard.id(child(output, "task_id"))
    if task_id is None:
        return Unknown("the response reports success without a task id", parsed.answer)
    word = parsed.guard.text(child(output, "task_status"), cap=64)
    return Accepted(task_id, STATES.get(word.lower(), TaskState.SUBMITTED), parsed.answer)


def parse_vidu_query(raw: RawResponse, *, requested: str) -> QueryOutcome:
    """Parse the response to a look-up of `requested`. ModelVerse's times are in seconds, the view's in ms."""
    parsed = _parse(raw)
    view = _view(parsed) if parsed.readable else None
    if view is None:
        return (
            malformed(parsed.answer, "the response reports success without a task")
            if parsed.ok
            else classify_query_failure(parsed)
        )
    if view.task_id != requested:
        return malformed(parsed.answer, f"asked for the task {requested}, and the response is about {view.task_id}")
    return Found(view)


def _view(parsed: ParsedResponse) -> TaskView | None:
    guard, output = parsed.guard, child(parsed.value, "output")
    task_id = guard.id(child(output, "task_id"))
    if task_id is None:
        return None
    outputs, warnings = _outputs(parsed, child(output, "urls"))
    word = guard.text(child(output, "task_status"), cap=64)
    state = read_state(word, STATES, has_output=bool(outputs), warnings=warnings)
    message = guard.text(child(output, "error_message"))
    if not message and parsed.error is not None:
        message = guard.text(parsed.error.message)
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
        # only for a success, because the usage of a failed task is the requested length
        added_ms=seconds_to_ms(child(child(parsed.value, "usage"), "duration")) or None if done else None,
        expires_ms=presigned_expiry_ms(outputs[0].url) if outputs else None,
        warnings=tuple(warnings),
        raw=parsed.answer.raw,
    )


def _outputs(parsed: ParsedResponse, urls: object) -> tuple[tuple[Output, ...], list[str]]:
    outputs: list[Output] = []
    warnings: list[str] = []
    for value in urls if isinstance(urls, list) else []:
        url = parsed.guard.url(value)
        if url is None:
            warnings.append("a video of the result has no usable URL; left out")
        else:
            # the next hop extends the URL; ModelVerse does not report the length of the file
            outputs.append(Output(url=url, video_id=url, watermark_url=None, duration_ms=None))
    return tuple(outputs), warnings[:5]


def _parse(raw: RawResponse) -> ParsedResponse:
    """Parse a body; ModelVerse puts the request id into the error's `param`."""
    parsed = parse_response(raw)
    if parsed.error is None or parsed.answer.request_id or not parsed.error.param:
        return parsed
    request_id = parsed.guard.text(parsed.error.param, cap=128)
    return replace(parsed, answer=replace(parsed.answer, request_id=request_id or None))
