"""Which task a callback is about: bytes to a task's id, or to nothing. Pure, and never raises.

A callback is a hint. Its state, its URLs and its deductions are not even read: they are asked for.
"""

from __future__ import annotations

from typing import Final

from extend_pipeline.providers.wire.json import NotJson, child, read_json, text_id

BODY_CAP: Final = 65_536  # bytes; a callback (docs/upstream/kling.md, "Callbacks") is under 2,000

WRAPPED: Final = "gen_api_response"  # what some gateways put the origin's own body into

_TASK_ID: Final = "task_id"  # docs/upstream/kling.md, "Callbacks"
_ID: Final = "id"  # docs/upstream/luma.md, "Callbacks"
_ENVELOPES: Final = ("data", WRAPPED)  # an answer's envelope around the task


def named_task(body: bytes) -> str | None:
    """Return the id of the task that a callback's body names, or None.

    It stands at the top or in an envelope. `task_id` counts before `id`, which may be the
    message's own. A body that names two tasks, or one that no id can be, names none.
    """
    if len(body) > BODY_CAP:
        return None
    value = read_json(body)
    if isinstance(value, NotJson) or not isinstance(value, dict):
        return None
    places = (value, *(child(value, envelope) for envelope in _ENVELOPES))
    for key in (_TASK_ID, _ID):
        given = [found for place in places if (found := child(place, key)) not in (None, "")]
        if given:
            ids = {text_id(found) for found in given}
            return ids.pop() if len(ids) == 1 else None
    return None
