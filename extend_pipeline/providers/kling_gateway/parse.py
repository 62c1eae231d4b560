"""Parse a Kling gateway's responses (docs/upstream/kling-gateway.md) into outcomes: forwarded bodies of Kling, and the
gateway's own errors. Pure, and never raises."""

from dataclasses import replace
from typing import Final

from extend_pipeline.providers.kling.parse import parse_query, parse_submit
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    QueryFailed,
    QueryOutcome,
    SubmitOutcome,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.wire.errors import GATEWAY_STATUSES
from extend_pipeline.providers.wire.response import (
    RawResponse,
    classify_query_failure,
    classify_rejection,
    parse_response,
)

NO_VIDEO_ID: Final = "the result has only a URL and no video id: this video can't be extended again"


def parse_gateway_submit(
    raw: RawResponse, *, external_task_id: str | None = None, parent_task_id: str | None = None
) -> SubmitOutcome:
    """Parse the response to a submit. A 5xx is always Unknown, because Kling may run the task after the gateway has
    failed. `external_task_id` is None if the gateway doesn't forward it."""
    outcome = parse_submit(raw, external_task_id=external_task_id)
    match outcome:
        case Accepted(task_id=task_id) if task_id == parent_task_id:
            # accepted as the new task, the parent would be fetched again as its own extension
            return Unknown("the response names the parent's task, not a new one", outcome.answer)
        case Unknown():
            rejection = classify_rejection(parse_response(raw), documented=GATEWAY_STATUSES)
            return outcome if isinstance(rejection, Unknown) else rejection
        case _:
            return outcome


def parse_gateway_query(raw: RawResponse, *, requested: str, own_key: bool = False) -> QueryOutcome:
    """Parse the response to a look-up of `requested`. A success whose video can't be extended again has a warning.
    `units_micros` is None, because a forwarded deduction is in Kling's units, not the gateway's."""
    outcome = parse_query(raw, requested=requested, own_key=own_key)
    match outcome:
        case Found(view):
            return Found(_gateway_view(view))
        case QueryFailed():
            parsed = parse_response(raw)
            return outcome if parsed.error is None else classify_query_failure(parsed)
        case _:
            return outcome


def _gateway_view(view: TaskView) -> TaskView:
    """Return a task without Kling's deduction, which Kling charged to the gateway, and with a warning if it can't be
    extended."""
    view = replace(view, units_micros=None)
    if view.state is not TaskState.SUCCEEDED or view.outputs[0].video_id is not None:
        return view
    return replace(view, warnings=(*view.warnings, NO_VIDEO_ID))
