"""Points in time as people and spreadsheets write them: taken with one meaning, or refused with how to write it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.fields import known_as, words, wrong

_EPOCH_MS: Final = re.compile(r"[12][0-9]{12}", re.ASCII)
_EPOCH_S: Final = re.compile(r"[12][0-9]{9}", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_LOCAL_DAY: Final = re.compile(r"[0-9]{1,4}\s*[./]\s*[0-9]{1,2}\s*[./]\s*[0-9]{1,4}.*", re.ASCII)
_DASHED_DAY: Final = re.compile(r"[0-9]{1,2}-([0-9]{1,2}|[A-Za-z]{3})-[0-9]{2,4}.*", re.ASCII)
_DAYS_COUNTED: Final = re.compile(r"[0-9]{5}([.,][0-9]+)?", re.ASCII)
_NAMED_ZONE: Final = re.compile(r".*[0-9]\s*[A-Za-z][A-Za-z/_]+", re.ASCII)
_SHOWN: Final = 40

EXAMPLE: Final = "2026-11-01T08:00:00Z"
_HINT: Final = f"Write it like {EXAMPLE}."
_YEAR_FIRST: Final = f"Write the year first: 2026-11-01 (00:00 UTC of that day), or {EXAMPLE}."


def is_plain_date(text: str | None) -> bool:
    """Return whether a time is written as a day alone, which is taken as 00:00 UTC of that day."""
    return text is not None and _DAY.fullmatch(text.strip()) is not None


def moment(value: object) -> datetime:
    """Return a written time in UTC. A day alone is its first moment in UTC: the earliest, so that a deadline that is
    counted from it ends early rather than late. Raises the field's error for whatever has no one meaning."""
    if isinstance(value, datetime):
        return _in_utc(value, str(value))
    text = words(value)
    if _EPOCH_MS.fullmatch(text):  # as Kling itself answers (upstream/001, created_at)
        return from_ms(int(text))
    if _EPOCH_S.fullmatch(text):
        return from_ms(int(text) * 1000)
    if is_plain_date(text):
        return _day(text)
    if (refused := _misread(text)) is not None:
        raise refused
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise wrong("is not a point in time", _HINT) from error
    return _in_utc(found, text)


def _day(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise wrong("is no day of the calendar", "Look at the month and the day.") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _misread(text: str) -> PydanticCustomError | None:
    if _LOCAL_DAY.fullmatch(text) or _DASHED_DAY.fullmatch(text):
        return wrong("is a day in a country's own order, which can be read in more than one way", _YEAR_FIRST)
    if _DAYS_COUNTED.fullmatch(text):
        return wrong("is a day as a spreadsheet counts it", f"Format the column as text. {_YEAR_FIRST}")
    if text.isdecimal():
        return wrong("is not a point in time", _YEAR_FIRST)
    if _NAMED_ZONE.fullmatch(text):
        return wrong(
            "names its zone by letters", f"Write Z for UTC, or the offset: 2026-11-01T08:00:00+01:00, {EXAMPLE}."
        )
    return None


def _in_utc(found: datetime, text: str) -> datetime:
    if found.tzinfo is None:
        example = f"{text}Z" if len(text) <= _SHOWN and ":" in text else EXAMPLE
        raise wrong("has no time zone", f"Add Z for UTC, or the offset: {example}.")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise wrong("is outside the calendar", _HINT) from error


Moment = Annotated[datetime, BeforeValidator(moment), known_as({"type": ["string", "integer"], "format": "date-time"})]
