"""Convert values of the warehouse to text, to CSV cells and to JSON without loss."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from extend_pipeline.commands.render.text import plain

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
"""Prefixes that a spreadsheet may take for a formula (the wide ones in East Asian settings), and the apostrophe."""


def to_text(value: Any) -> str:
    """Return a value as text: decimals exact and without exponent, times as ISO 8601, empty for NULL."""
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
            return json.dumps(to_json(value), ensure_ascii=False)
        case _:
            return str(value)


def to_csv_cell(value: Any) -> str:
    """Return a value as a CSV cell: its text, with an apostrophe before text that a spreadsheet may take for a
    formula."""
    text = to_text(value)
    is_number = isinstance(value, int | float | Decimal)
    return text if is_number or not text.startswith(_FORMULA) else f"'{text}"


def to_json(value: Any) -> Any:
    """Return a value for --json: decimals and times (UTC) as strings, integers and booleans unchanged."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else str(value)  # JSON has no infinity and no NaN
        case list() | tuple():
            return [to_json(item) for item in value]
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case timedelta():
            return str(value)
        case datetime() if value.tzinfo is not None:
            return to_text(value.astimezone(UTC))
        case _:
            return to_text(value)
