"""Reading what an upstream sent, without trusting any of it: bytes to JSON, and JSON to ids, seconds, times and units.

A getter answers None for everything that isn't clearly what it looks for; nothing here raises for what is in a body.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

from extend_pipeline.base.units import to_micros

_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_DECIMAL: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
LATEST_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999
_SECONDS_BELOW: Final = 100_000_000_000  # smaller times are seconds: as milliseconds they would lie before 1973-03
_ID_CAP: Final = 256


@dataclass(frozen=True, slots=True)
class NotJson:
    """A body that holds no JSON document, and what it seems to be instead."""

    reason: str


def read_json(body: bytes) -> object | NotJson:
    """Return the first JSON document of a body.

    Bytes that aren't UTF-8 become U+FFFD, which no id may hold. Numbers stay exact (int or Decimal). A key that comes
    twice with different values reads as null: which of them was meant, nobody can tell. NaN and Infinity are no JSON.
    """
    text = body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n\x00")
    if not text:
        return NotJson("an empty body")
    if text.startswith("<"):
        title = _TITLE.search(text[:20_000])
        named = " ".join(html.unescape(title.group(1)).split())[:120] if title else ""
        return NotJson(f"an HTML page: {named}" if named else "a page of HTML or XML")
    try:
        value: object = _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        return NotJson("JSON that is cut short" if cut else f"no JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        return NotJson("JSON that is nested too deeply")
    except (ValueError, ArithmeticError) as error:  # NaN; an exponent beyond what Decimal holds
        return NotJson(f"no JSON: {error}")
    return value


def text(value: object) -> str:
    """Return a text as it is, a number as text, anything else as the empty text."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else ""


def text_id(value: object) -> str | None:
    """Return an id from a text or an exact integer, never from a float or a bool. Empty and null are absent, and so is
    what can't be an id: white space, control or non-ASCII characters, ".", "..", more than 256 characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value >= 0 else ""
    if not isinstance(value, str) or not 0 < len(value) <= _ID_CAP or value in (".", ".."):
        return None
    return value if all("!" <= char <= "~" for char in value) else None


def integer(value: object) -> int | None:
    """Return an integer, given as one or as its digits in a text, with or without a minus."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip(), re.ASCII):
        return int(value)
    return None


def decimal(value: object) -> Decimal | None:
    """Return a plain non-negative decimal below 10¹², given as a number or as text ("3.5"); no exponents, signs or
    underscores."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    if isinstance(value, Decimal):
        if not value.is_finite() or not -13 < value.adjusted() < 12:
            return Decimal(0) if value.is_finite() and value == 0 else None
        value = format(value, "f")
    written = str(value).strip()
    if not _DECIMAL.fullmatch(written):
        return None
    try:
        return Decimal(written)
    except InvalidOperation:
        return None


def seconds_to_ms(value: object) -> int | None:
    """Return seconds ("9.6", 9.6, 9) as milliseconds, half up. None for anything else, or for more than a day."""
    seconds = decimal(value)
    if seconds is None or seconds > 86_400:
        return None
    return int((seconds * 1000).to_integral_value(rounding=ROUND_HALF_UP))


def timestamp_ms(value: object) -> int | None:
    """Return a time since 1970 as milliseconds, given as integer or digits, in milliseconds or (some resellers) in
    seconds."""
    if isinstance(value, Decimal) and value == value.to_integral_value() and value.adjusted() < 15:
        value = int(value)
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return None
    value = value * 1000 if value < _SECONDS_BELOW else value
    return value if value <= LATEST_MS else None


def iso_ms(value: object) -> int | None:
    """Return a moment in ISO 8601 as whole milliseconds since 1970; without a zone it is UTC. None for anything else,
    and for what lies before 1970: `0001-01-01T00:00:00Z` is how Go writes that there is no time."""
    if not isinstance(value, str) or not 10 < len(value) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        found = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
    return found if found > 0 else None


def units_to_micros(value: object) -> int | None:
    """Return a count of units ("2", "3.5", 2) in millionths; None for "", null, garbage, and what has more than six
    decimals."""
    units = decimal(value)
    if units is None:
        return None
    try:
        return to_micros(units)
    except ValueError:
        return None


def child(value: object, key: str) -> object:
    """`value[key]` where value is an object that has it, else None."""
    return value.get(key) if isinstance(value, dict) else None


def error_message(value: object) -> str:
    """Return the upstream's own words, from any of the error bodies seen in this family of systems
    (docs/upstream/README.md, "Error bodies")."""
    error, detail = child(value, "error"), child(value, "detail")
    candidates: Sequence[object] = (
        child(value, "message"),
        child(value, "msg"),
        child(error, "message"),
        error,
        child(detail, "message"),
        child(detail, "msg"),
        detail,
    )
    return next((found.strip() for found in candidates if isinstance(found, str) and found.strip()), "")


def _exact_integer(digits: str) -> int | str:
    # beyond 40 digits it is no id, time or code; Python refuses to convert more than 4300
    return int(digits) if len(digits) <= 40 else digits


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        found[key] = value if key not in found or found[key] == value else None
    return found


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unambiguous,
    parse_int=_exact_integer,
    parse_float=Decimal,
    parse_constant=_refuse_constant,
)
