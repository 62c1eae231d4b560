"""Turn a Kling gateway's responses (docs/upstream/kling-gateway.md) into outcomes: Kling's bodies passed through, and
the gateway's own errors. Pure, and never raises."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from extend_pipeline.providers.kling.parse import read_query, read_submit
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

NO_VIDEO_ID: Final = "the result names no video id, only a URL: this video can't be extended again"


def parse_gateway_submit(
    raw: RawResponse, *, external_task_id: str | None = None, parent_task_id: str | None = None
) -> SubmitOutcome:
    """Return what a response to a submit means. A 5xx is always Unknown: it may be the gateway's own, while Kling ran
    the task. `external_task_id` is None where the gateway doesn't forward it."""
    parsed = parse_response(raw)
    outcome = read_submit(parsed, external_task_id=external_task_id)
    match outcome:
        case Accepted(task_id=task_id) if task_id == parent_task_id:
            # taken for the new task, the parent would be fetched a second time as its own extension
            return Unknown("the answer names the parent's task, not a new one", outcome.answer)
        case Unknown():
            gateways_own = classify_rejection(parsed, documented=GATEWAY_STATUSES)
            return outcome if isinstance(gateways_own, Unknown) else gateways_own
        case _:
            return outcome


def parse_gateway_query(raw: RawResponse, *, requested: str, own_key: bool = False) -> QueryOutcome:
    """Return what a response to a look-up of `requested` means; a success whose video can't be extended again carries
    a warning. `units_micros` stays empty: a passed-through deduction is in Kling's units and not the gateway's
    price."""
    parsed = parse_response(raw)
    outcome = read_query(parsed, requested=requested, own_key=own_key)
    match outcome:
        case Found(view):
            return Found(_through_a_gateway(view))
        case QueryFailed():
            return outcome if parsed.error is None else classify_query_failure(parsed)
        case _:
            return outcome


def _through_a_gateway(view: TaskView) -> TaskView:
    """Return a task of Kling's as a gateway's customer has to see it."""
    # final_unit_deduction is what Kling took from the gateway, in Kling's units; the gateway charges its own
    view = replace(view, units_micros=None)
    if view.state is not TaskState.SUCCEEDED or view.outputs[0].video_id is not None:
        return view
    return replace(view, warnings=(*view.warnings, NO_VIDEO_ID))
