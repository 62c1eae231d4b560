"""Read the task id in a callback's body. Pure, and never raises.

A callback is only a hint: its state, URLs and deductions are ignored, and the task is queried instead.
"""

from typing import Final

from extend_pipeline.providers.wire.json import NotJson, child, read_json, text_id

BODY_CAP: Final = 65_536  # bytes; a callback (docs/upstream/kling.md, "Callbacks") is under 2,000

WRAPPED: Final = "gen_api_response"  # the field in which some gateways put the origin's body

_TASK_ID: Final = "task_id"  # docs/upstream/kling.md, "Callbacks"
_ID: Final = "id"  # docs/upstream/luma.md, "Callbacks"
_ENVELOPES: Final = ("data", WRAPPED)  # a response's envelope around the task


def named_task(body: bytes) -> str | None:
    """Return the task id in a callback's body, or None.

    The id is at the top level or in an envelope. `task_id` comes before `id`, which may be the message's own. None for
    a body with two different ids, or with an invalid one.
    """
    if len(body) > BODY_CAP:
        return None
    document = read_json(body)
    if isinstance(document, NotJson) or not isinstance(document, dict):
        return None
    places = (document, *(child(document, envelope) for envelope in _ENVELOPES))
    for key in (_TASK_ID, _ID):
        values = [value for place in places if (value := child(place, key)) not in (None, "")]
        if values:
            ids = {text_id(value) for value in values}
            return ids.pop() if len(ids) == 1 else None
    return None
