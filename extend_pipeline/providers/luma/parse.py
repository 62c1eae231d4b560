"""Turn a Luma reseller's responses (docs/upstream/luma.md) into outcomes. Pure, and never raises.

The schema is Kling's, the example Luma's flat body; resellers answer with either, so that both are read. A third
form wraps Luma's body in the gateway's own record: `{"gen_api_response": {…}, "gen_api_status": 201, "status": …}`.
"""

from __future__ import annotations

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
    """Return what a response to a submit means; 200 and 201 are both successes.

    A wrapped failure is Unknown, with or without a generation in it: the gateway gave up, but Luma's own status beside
    it (201, "pending") may mean that the generation runs, and no wrapped body says that nothing was charged.
    """
    parsed = parse_response(raw)
    if wrapped_failure(parsed.value):
        made = parsed.guard.id(child(child(parsed.value, WRAPPED), "id"))
        named = f"Luma's own answer names the generation {made}" if made else "no generation is named"
        return Unknown(f"the gateway's record says FAILED, and {named}", parsed.answer)
    inner_status = integer(child(parsed.value, "gen_api_status"))
    if not parsed.ok or not (inner_status is None or 200 <= inner_status < 300):
        return classify_rejection(parsed, documented=GATEWAY_STATUSES)
    view = _one(parsed.value, parsed.guard, parsed.answer.raw)
    if view is None:
        return Unknown("the answer says success and names no generation", parsed.answer)
    if view.task_id == parent_task_id:
        # taken for the new generation, the parent would be fetched a second time as its own extension
        return Unknown("the answer names the parent, not a new generation", parsed.answer)
    return Accepted(view.task_id, view.state, parsed.answer)


def parse_luma_query(raw: RawResponse, *, requested: str) -> QueryOutcome:
    """Return what a response to a look-up of `requested` means. A wrapped failure is the end of the generation."""
    parsed = parse_response(raw)
    view = _one(parsed.value, parsed.guard, parsed.answer.raw, requested=requested) if parsed.readable else None
    if view is None:
        return (
            malformed(parsed.answer, "the answer says success and shows no generation")
            if parsed.ok
            else classify_query_failure(parsed)
        )
    if view.task_id != requested:
        return malformed(parsed.answer, f"asked for the generation {requested}, and the answer is about {view.task_id}")
    return Found(view)


def parse_luma_many(raw: RawResponse, *, requested: Sequence[str]) -> dict[str, QueryOutcome] | QueryFailed:
    """Return what a response about several generations (a bare array) shows of those that were requested.

    One that the array leaves out, shows twice, or shows in a form that can't be read is left out here, and is never
    NotFound. QueryFailed where there is no array at all.
    """
    parsed = parse_response(raw)
    rows = parsed.value if isinstance(parsed.value, list) else child(parsed.value, "data")
    if not parsed.ok:
        return query_failed(parsed)
    if not isinstance(rows, list):
        return malformed(parsed.answer, "the answer about several generations holds no array")
    views = [_one(row, parsed.guard, row_text(row, raw)) for row in rows]
    shown = Counter(view.task_id for view in views if view is not None)
    wanted = {task_id for task_id in requested if shown[task_id] == 1}
    return {view.task_id: Found(view) for view in views if view is not None and view.task_id in wanted}


def _one(value: object, guard: Guard, raw: str, *, requested: str | None = None) -> TaskView | None:
    """Return one generation, in any of the three forms. None where a flat id and a nested one differ, because either
    could be the one that the body is about."""
    flat = read_generation(value, guard=guard, raw=raw, requested=requested)
    if integer(child(value, "code")) not in SUCCESS:
        return flat
    nested = child(value, "data")
    inner = read_generation(nested, guard=guard, raw=raw) or read_task(nested, guard=guard, raw=raw)
    if flat is None or inner is None:
        return flat or inner
    return flat if flat.task_id == inner.task_id else None
