"""From an answer of a Luma reseller to an outcome (docs/upstream/luma.md). Pure, and never raises.

The schema is Kling's, the example Luma's flat body; resellers answer with either, so that both are read. A third
form wraps Luma's body in the gateway's own record: `{"gen_api_response": {…}, "gen_api_status": 201, "status": …}`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from extend_pipeline.base.scrub import scrub
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
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import child, integer
from extend_pipeline.providers.wire.response import (
    RawResponse,
    classify_query_failure,
    classify_rejection,
    malformed,
    parse_response,
    query_failed,
)


def parse_luma_submit(raw: RawResponse, *, parent_task_id: str) -> SubmitOutcome:
    """What the answer to a submit means; 200 and 201 are both successes.

    A wrapped failure is Unknown, with or without a generation in it: the gateway gave up, but Luma's own status beside
    it (201, "pending") may mean that the generation runs, and no wrapped body says that nothing was charged.
    """
    reading = parse_response(raw)
    if wrapped_failure(reading.value):
        made = reading.guard.id(child(child(reading.value, WRAPPED), "id"))
        named = f"Luma's own answer names the generation {made}" if made else "no generation is named"
        return Unknown(f"the gateway's record says FAILED, and {named}", reading.answer)
    inner_status = integer(child(reading.value, "gen_api_status"))
    if not reading.ok or not (inner_status is None or 200 <= inner_status < 300):
        return classify_rejection(reading)
    view = _one(reading.value, reading.guard, reading.answer.raw)
    if view is None:
        return Unknown("the answer says success and names no generation", reading.answer)
    if view.task_id == parent_task_id:
        # taken for the new generation, the parent would be fetched a second time as its own extension
        return Unknown("the answer names the parent, not a new generation", reading.answer)
    return Accepted(view.task_id, view.state, reading.answer)


def parse_luma_query(raw: RawResponse, *, asked: str) -> QueryOutcome:
    """What the answer to a look-up of `asked` means. A wrapped failure is the end of the generation."""
    reading = parse_response(raw)
    view = _one(reading.value, reading.guard, reading.answer.raw, asked=asked) if reading.readable else None
    if view is None:
        return (
            malformed(reading, "the answer says success and shows no generation")
            if reading.ok
            else classify_query_failure(reading)
        )
    if view.task_id != asked:
        return malformed(reading, f"asked for the generation {asked}, and the answer is about {view.task_id}")
    return Found(view)


def parse_luma_many(raw: RawResponse, *, asked: Sequence[str]) -> dict[str, QueryOutcome] | QueryFailed:
    """What the answer to a question about several generations (a bare array) shows of those that were asked for.

    One that the array leaves out, shows twice, or shows in a form that can't be read is left out here, and never
    Absent. Unanswered where there is no array at all.
    """
    reading = parse_response(raw)
    rows = reading.value if isinstance(reading.value, list) else child(reading.value, "data")
    if not reading.ok:
        return query_failed(reading)
    if not isinstance(rows, list):
        return malformed(reading, "the answer about several generations holds no array")
    views = [_one(row, reading.guard, _row_text(row, raw.secrets)) for row in rows]
    shown = Counter(view.task_id for view in views if view is not None)
    wanted = {task_id for task_id in asked if shown[task_id] == 1}
    return {view.task_id: Found(view) for view in views if view is not None and view.task_id in wanted}


def _one(value: object, guard: Guard, raw: str, *, asked: str | None = None) -> TaskView | None:
    """One generation, in any of the three forms. None where a flat id and a nested one differ: whose the body is,
    nobody can tell."""
    flat = read_generation(value, guard=guard, raw=raw, asked=asked)
    if integer(child(value, "code")) not in SUCCESS:
        return flat
    nested = child(value, "data")
    inner = read_generation(nested, guard=guard, raw=raw) or read_task(nested, guard=guard, raw=raw)
    if flat is None or inner is None:
        return flat or inner
    return flat if flat.task_id == inner.task_id else None


def _row_text(row: object, secrets: tuple[str, ...]) -> str:
    try:
        return scrub(json.dumps(row, ensure_ascii=False, default=str), secrets=secrets)
    except RecursionError:
        return ""
