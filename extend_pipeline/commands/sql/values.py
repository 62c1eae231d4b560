"""Values of the warehouse as text, as cells of CSV and in JSON, exact in each."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from extend_pipeline.commands.render.text import plain

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
"""What spreadsheets take for the beginning of a formula (the wide ones in East Asian settings), and the mark itself."""


def in_words(value: Any) -> str:
    """Return a value as text: decimals exact and without exponent, times ISO 8601, nothing for NULL."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case bytes() | bytearray():
            return bytes(value).hex()
        case list() | tuple() | dict():
            return json.dumps(in_json(value), ensure_ascii=False)
        case _:
            return str(value)


def in_sheet(value: Any) -> str:
    """Return a value as a cell of CSV: as `in_words`, and text that a spreadsheet would compute begins with an
    apostrophe."""
    words = in_words(value)
    is_number = isinstance(value, int | float | Decimal)
    return words if is_number or not words.startswith(_FORMULA) else f"'{words}"


def in_json(value: Any) -> Any:
    """Return a value for --json: decimals and times (UTC) as strings, whole numbers and truth values as they are."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else str(value)  # JSON has no infinity and no NaN
        case list() | tuple():
            return [in_json(item) for item in value]
        case dict():
            return {str(key): in_json(item) for key, item in value.items()}
        case timedelta():
            return str(value)
        case datetime() if value.tzinfo is not None:
            return in_words(value.astimezone(UTC))
        case _:
            return in_words(value)
