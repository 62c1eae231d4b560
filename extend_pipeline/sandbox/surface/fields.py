"""Checks of a request's body that several surfaces make."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit


def read_object(body: bytes, content_type: str = "application/json") -> dict[str, Any] | str:
    """Return the JSON object that a body holds, or a message on why it holds none."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return "Content-Type must be application/json"
    try:
        value = json.loads(body)
    except ValueError:
        return "the body is not JSON"
    return value if isinstance(value, dict) else "the body must be a JSON object"


def is_http_url(value: object) -> bool:
    """Return whether a value is the text of an http or https URL with a host."""
    try:
        parts = urlsplit(str(value))
    except ValueError:
        return False
    return isinstance(value, str) and parts.scheme in ("http", "https") and bool(parts.hostname)
