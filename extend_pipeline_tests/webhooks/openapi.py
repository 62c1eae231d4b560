"""The receiver's contract as an OpenAPI document: for operators who put a proxy before it, and for its tests."""

from __future__ import annotations

from typing import Any, Final

from extend_pipeline.webhooks.limits import Limits
from extend_pipeline.webhooks.signature import ID, SIGNATURE, TIMESTAMP

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

_ANSWER: Final = {"204": {"description": "Always, without a body. It tells nothing of what was sent."}}


def document(prefix: str = "extend-pipeline") -> dict[str, Any]:
    """Return the document of a receiver below /`prefix`."""
    parameters = [_text("path", "token", "The last part of the address that a submit gave to the upstream.")]
    signature = [
        _text("header", ID, "Standard Webhooks."),
        _text("header", TIMESTAMP, "Seconds since 1970; five minutes off at most."),
        _text("header", SIGNATURE, "v1,<base64>; several with spaces between them during a rotation."),
    ]
    operations: dict[str, Any] = {
        method: {"summary": "Nothing happens.", "responses": _ANSWER} for method in METHODS if method != "post"
    }
    operations["post"] = {
        "summary": "Say that a task has changed. Only the task's id is read, and it is believed only once asked for.",
        "parameters": signature,
        "requestBody": {
            "description": f"As the upstream sends it; beyond {Limits().max_body} bytes it is not read.",
            "content": {"application/json": {"schema": {}}, "text/plain": {"schema": {"type": "string"}}},
        },
        "responses": _ANSWER,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Callbacks of extend_pipeline", "version": "1"},
        "paths": {f"/{prefix}/{{token}}": {"parameters": parameters, **operations}},
    }


def _text(place: str, name: str, description: str) -> dict[str, Any]:
    return {
        "in": place,
        "name": name,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string"},
    }
