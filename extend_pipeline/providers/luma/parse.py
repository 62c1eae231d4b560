"""Parse a Luma reseller's responses (docs/upstream/luma.md) into outcomes. Pure, and never raises.

The document's schema is Kling's envelope and its example Luma's flat body; resellers send either, so both are parsed. A
third form is the gateway's own record: `{"gen_api_response": {…}, "gen_api_status": 201, "status": …}`.
"""

from collections import Counter
from collections.abc import Sequence

from extend_pipeline.providers.kling.task import read_task
from extend_pipeline.providers.luma.task import read_generation, wrapped_failure
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    QueryFailed,
    QueryOutcome,
    SubmitOutcome,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.wire.callback_body import WRAPPED
from extend_pipeline.providers.wire.codes import SUCCESS
from extend_pipeline.providers.wire.errors import GATEWAY_STATUSES
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import child, integer
from extend_pipeline.providers.wire.response import (
    RawResponse,
    classify_query_failure,
    classify_rejection,
    malformed,
    parse_response,
    query_failed,
    row_text,
)


def parse_luma_submit(raw: RawResponse, *, parent_task_id: str) -> SubmitOutcome:
    """Parse the response to a submit; 200 and 201 are both successes.

    A wrapped failure is Unknown, with or without a generation in it, because the generation may run although the
    gateway has failed (Luma's own status beside it may be 201, "pending").
    """
    parsed = parse_response(raw)
    if wrapped_failure(parsed.value):
        task_id = parsed.guard.id(child(child(parsed.value, WRAPPED), "id"))
        detail = f"Luma's own response contains generation {task_id}" if task_id else "there is no generation id"
        return Unknown(f"the gateway's record is FAILED, and {detail}", parsed.answer)
    inner_status = integer(child(parsed.value, "gen_api_status"))
    if not parsed.ok or not (inner_status is None or 200 <= inner_status < 300):
        return classify_rejection(parsed, documented=GATEWAY_STATUSES)
    view = _read_view(parsed.value, parsed.guard, parsed.answer.raw)
    if view is None:
        return Unknown("the response reports success without a generation id", parsed.answer)
    if view.task_id == parent_task_id:
        # accepted as the new generation, the parent would be fetched again as its own extension
        return Unknown("the response names the parent, not a new generation", parsed.answer)
    return Accepted(view.task_id, view.state, parsed.answer)


def parse_luma_query(raw: RawResponse, *, requested: str) -> QueryOutcome:
    """Parse the response to a look-up of `requested`. A wrapped failure is a failed generation."""
    parsed = parse_response(raw)
    view = _read_view(parsed.value, parsed.guard, parsed.answer.raw, requested=requested) if parsed.readable else None
    if view is None:
        return (
            malformed(parsed.answer, "the response reports success without a generation")
            if parsed.ok
            else classify_query_failure(parsed)
        )
    if view.task_id != requested:
        return malformed(
            parsed.answer, f"asked for the generation {requested}, and the response is about {view.task_id}"
        )
    return Found(view)


def parse_luma_many(raw: RawResponse, *, requested: Sequence[str]) -> dict[str, QueryOutcome] | QueryFailed:
    """Parse the response about several generations, a bare array.

    A requested generation that is missing, comes twice, or can't be parsed is left out, and is never NotFound. Return
    QueryFailed if there is no array.
    """
    parsed = parse_response(raw)
    rows = parsed.value if isinstance(parsed.value, list) else child(parsed.value, "data")
    if not parsed.ok:
        return query_failed(parsed)
    if not isinstance(rows, list):
        return malformed(parsed.answer, "the response about several generations holds no array")
    views = [_read_view(row, parsed.guard, row_text(row, raw)) for row in rows]
    counts = Counter(view.task_id for view in views if view is not None)
    unique = {task_id for task_id in requested if counts[task_id] == 1}
    return {view.task_id: Found(view) for view in views if view is not None and view.task_id in unique}


def _read_view(value: object, guard: Guard, raw: str, *, requested: str | None = None) -> TaskView | None:
    """Return a generation from any of the three forms. None if a flat id and a nested one differ, because either could
    be meant."""
    flat = read_generation(value, guard=guard, raw=raw, requested=requested)
    if integer(child(value, "code")) not in SUCCESS:
        return flat
    nested = child(value, "data")
    inner = read_generation(nested, guard=guard, raw=raw) or read_task(nested, guard=guard, raw=raw)
    if flat is None or inner is None:
        return flat or inner
    return flat if flat.task_id == inner.task_id else None
