"""Fields that are points in time, as people and spreadsheets write them: read only if they have one meaning."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.fields.text import field_error, schema_as, single_value

_EPOCH_MS: Final = re.compile(r"[12][0-9]{12}", re.ASCII)
_EPOCH_S: Final = re.compile(r"[12][0-9]{9}", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_YEAR_FIRST_DAY: Final = re.compile(r"([0-9]{4})([./])\s?([0-9]{1,2})\2\s?([0-9]{1,2})(?![0-9])", re.ASCII)
_YEAR_LAST_DAY: Final = re.compile(r"([0-9]{1,2})([./-])\s?([0-9]{1,2})\2\s?([0-9]{4})(?![0-9])", re.ASCII)
_SHORT_DAY: Final = re.compile(r"[0-9]{1,2}\s*[./-]\s*([0-9]{1,2}|[A-Za-z]{3})\s*[./-]\s*[0-9]{2,4}.*", re.ASCII)
_DAYS_COUNTED: Final = re.compile(r"[0-9]{5}([.,][0-9]+)?", re.ASCII)
_NAMED_ZONE: Final = re.compile(r".*[0-9]\s*[A-Za-z][A-Za-z/_]+", re.ASCII)
_MAX_EXAMPLE: Final = 40

EXAMPLE: Final = "2026-11-01T08:00:00Z"
_HINT: Final = f"Write it like {EXAMPLE}."
_YEAR_FIRST: Final = f"Write the year first: 2026-11-01 (00:00 UTC of that day), or {EXAMPLE}."


@dataclass(frozen=True, slots=True)
class TwoDays:
    """A date with two readings, each in ISO 8601."""

    day_first: str
    month_first: str

    @property
    def message(self) -> str:
        """Return both readings, continuing a sentence about the text."""
        return f"is {self.day_first} where the day comes first, and {self.month_first} where the month does"

    @property
    def hint(self) -> str:
        """Return what to write instead."""
        return f"Write {self.day_first} or {self.month_first}."


def in_iso_order(text: str) -> str | TwoDays:
    """Return a time with its date in ISO 8601, if the date is in another order; other text unchanged. Dots mean that
    the day comes first; with slashes and hyphens the numbers must decide."""
    text = text.strip()
    if (year_first := _YEAR_FIRST_DAY.match(text)) is not None:
        year, _, month, day = year_first.groups()
        return _iso(year, month, day) + text[year_first.end() :]
    year_last = _YEAR_LAST_DAY.match(text)
    if year_last is None:
        return text
    first, mark, second, year = year_last.groups()
    rest = text[year_last.end() :]
    if mark == "." or int(first) > 12 or first == second:
        return _iso(year, second, first) + rest
    if int(second) > 12:
        return _iso(year, first, second) + rest
    return TwoDays(_iso(year, second, first), _iso(year, first, second))


def is_plain_date(text: str | None) -> bool:
    """Return whether a time is a date without a time of day, which is read as 00:00 UTC."""
    day = None if text is None else in_iso_order(text)
    return isinstance(day, str) and _DAY.fullmatch(day) is not None


def moment(value: object) -> datetime:
    """Return a time in UTC. A date alone is 00:00 UTC, so that a deadline counted from it ends early rather than late.
    Raises the field's error for text that has no single meaning."""
    if isinstance(value, datetime):
        return _in_utc(value, str(value))
    text = in_iso_order(single_value(value))
    if isinstance(text, TwoDays):
        raise field_error(text.message, text.hint)
    if _EPOCH_MS.fullmatch(text):  # as a provider itself writes it (docs/upstream/kling.md, "Query")
        return from_ms(int(text))
    if _EPOCH_S.fullmatch(text):
        return from_ms(int(text) * 1000)
    if _DAY.fullmatch(text):
        return _day(text)
    if (error := _ambiguous(text)) is not None:
        raise error
    try:
        time = datetime.fromisoformat(text)
    except ValueError as invalid:
        raise field_error("is not a point in time", _HINT) from invalid
    return _in_utc(time, text)


def _iso(year: str, month: str, day: str) -> str:
    return f"{year}-{int(month):02}-{int(day):02}"


def _day(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise field_error("is no day of the calendar", "Look at the month and the day.") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _ambiguous(text: str) -> PydanticCustomError | None:
    if _SHORT_DAY.fullmatch(text):
        return field_error("is a day in a country's own order, which can be read in more than one way", _YEAR_FIRST)
    if _DAYS_COUNTED.fullmatch(text):
        return field_error("is a day as a spreadsheet counts it", f"Format the column as text. {_YEAR_FIRST}")
    if text.isdecimal():
        return field_error("is not a point in time", _YEAR_FIRST)
    if _NAMED_ZONE.fullmatch(text):
        return field_error(
            "names its zone by letters", f"Write Z for UTC, or the offset: 2026-11-01T08:00:00+01:00, {EXAMPLE}."
        )
    return None


def _in_utc(time: datetime, text: str) -> datetime:
    if time.tzinfo is None:
        example = f"{text}Z" if len(text) <= _MAX_EXAMPLE and ":" in text else EXAMPLE
        raise field_error("has no time zone", f"Add Z for UTC, or the offset: {example}.")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise field_error("is outside the calendar", _HINT) from error


Moment = Annotated[datetime, BeforeValidator(moment), schema_as({"type": ["string", "integer"], "format": "date-time"})]
