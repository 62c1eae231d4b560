"""Parse untrusted bodies: bytes to JSON, and JSON values to ids, seconds, times and units.

Each function returns None for a value of any other form, and never raises for the content of a body.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from extend_pipeline.base.units import to_micros

_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_DECIMAL: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
LATEST_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999
_SECONDS_BELOW: Final = 100_000_000_000  # a smaller time is in seconds; as milliseconds it would be before 1973-03
_ID: Final = re.compile(r"[!-~]{1,256}")


@dataclass(frozen=True, slots=True)
class NotJson:
    """A body without a JSON document; `reason` describes what it seems to be."""

    reason: str


def read_json(body: bytes) -> object | NotJson:
    """Return the first JSON document of a body.

    Bytes that aren't UTF-8 become U+FFFD, which no valid id contains. Numbers stay exact (int or Decimal). A key that
    comes twice with different values is read as null, because either could be meant. NaN and Infinity are not JSON.
    """
    text = body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n\x00")
    if not text:
        return NotJson("an empty body")
    if text.startswith("<"):
        title = _TITLE.search(text[:20_000])
        heading = " ".join(html.unescape(title.group(1)).split())[:120] if title else ""
        return NotJson(f"an HTML page: {heading}" if heading else "a page of HTML or XML")
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
    """Return a text unchanged, a number as text, and "" for any other value."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else ""


def text_id(value: object) -> str | None:
    """Return an id from a text or an integer; None for any other value, and for a text that is empty, ".", "..", longer
    than 256 characters, or contains white space, control or non-ASCII characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value >= 0 else ""
    if not isinstance(value, str) or value in (".", ".."):
        return None
    return value if _ID.fullmatch(value) else None


def integer(value: object) -> int | None:
    """Return an integer from an integer or from a text of its digits, with an optional minus."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip(), re.ASCII):
        return int(value)
    return None


def decimal(value: object) -> Decimal | None:
    """Return a non-negative decimal below 10¹² from a number or a text ("3.5") without exponent, sign or underscore."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    if isinstance(value, Decimal):
        if not value.is_finite() or not -13 < value.adjusted() < 12:
            return Decimal(0) if value.is_finite() and value == 0 else None
        value = format(value, "f")
    digits = str(value).strip()
    return Decimal(digits) if _DECIMAL.fullmatch(digits) else None


def seconds_to_ms(value: object) -> int | None:
    """Return seconds ("9.6", 9.6, 9) as milliseconds, rounded half up; None for more than a day."""
    seconds = decimal(value)
    if seconds is None or seconds > 86_400:
        return None
    return int((seconds * 1000).to_integral_value(rounding=ROUND_HALF_UP))


def timestamp_ms(value: object) -> int | None:
    """Return UTC milliseconds since 1970 from an integer or digits, in milliseconds or (some resellers) in seconds."""
    if isinstance(value, Decimal) and value == value.to_integral_value() and value.adjusted() < 15:
        value = int(value)
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return None
    value = value * 1000 if value < _SECONDS_BELOW else value
    return value if value <= LATEST_MS else None


def iso_ms(value: object) -> int | None:
    """Return whole UTC milliseconds since 1970 from ISO 8601, which is UTC without a zone. None before 1970, because Go
    writes a missing time as `0001-01-01T00:00:00Z`."""
    if not isinstance(value, str) or not 10 < len(value) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        since_1970_ms = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
    return since_1970_ms if since_1970_ms > 0 else None


def units_to_micros(value: object) -> int | None:
    """Return units ("2", "3.5", 2) in millionths; None for any other value and for more than six decimals."""
    units = decimal(value)
    if units is None:
        return None
    try:
        return to_micros(units)
    except ValueError:
        return None


def members(value: object) -> Mapping[str, object]:
    """Return the members of an object; none for any other value."""
    return value if isinstance(value, dict) else {}


def child(value: object, key: str) -> object:
    """Return `value[key]` if value is an object with that key, else None."""
    return value.get(key) if isinstance(value, dict) else None


def error_message(value: object) -> str:
    """Return the message of an error body in any of the known shapes (docs/upstream/README.md, "Error bodies"), or
    ""."""
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
    return next((item.strip() for item in candidates if isinstance(item, str) and item.strip()), "")


def _exact_integer(digits: str) -> int | str:
    # a longer number is no id, time or code, and Python refuses to convert more than 4300 digits
    return int(digits) if len(digits) <= 40 else digits


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    document = {}
    for key, value in pairs:
        document[key] = value if key not in document or document[key] == value else None
    return document


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unambiguous,
    parse_int=_exact_integer,
    parse_float=Decimal,
    parse_constant=_refuse_constant,
)
