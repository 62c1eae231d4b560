"""Single cells of an invoice: ids, amounts and times, read exactly or refused with what to do about it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from extend_pipeline.base.units import to_micros, to_ms
from extend_pipeline.config.fields.ids import is_rounded_number
from extend_pipeline.config.fields.moments import TwoDays, in_iso_order
from extend_pipeline.config.fields.numbers import GROUPED

_ID_CAP: Final = 256
_LATEST_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999
_PLAIN: Final = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)
_MAYBE_GROUPED: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{9,10}", re.ASCII)
_MILLISECONDS: Final = re.compile(r"[0-9]{12,14}", re.ASCII)
_TOTALS: Final = frozenset({"total", "totals", "sum", "subtotal", "grand total", "gesamt", "summe", "合计", "总计"})

_AS_TEXT: Final = "Export the ids as text: a spreadsheet that takes them for numbers loses their last digits for good."
_PLAINLY: Final = "Write plain numbers with a decimal point and nothing between the thousands, such as 1250.5."


@dataclass(frozen=True, slots=True)
class BadCell:
    """Why a cell can't be used, continuing the sentence that the cell begins, and what would do."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in UTC milliseconds; `zoned` is False where no zone was given and UTC was assumed."""

    ms: int
    zoned: bool


def is_total(text: str) -> bool:
    """Whether a cell stands where an id should, and names a sum instead."""
    return text.rstrip(":").strip().lower() in _TOTALS


def check_id(text: str) -> BadCell | None:
    """What is wrong with an id. One that a spreadsheet has rounded is not guessed at."""
    if is_rounded_number(text):
        return BadCell("is a number that a spreadsheet has rounded, and no task's id", _AS_TEXT)
    if text.startswith("="):
        return BadCell("is a formula, and no task's id", _AS_TEXT)
    if len(text) > _ID_CAP or any(not "!" <= char <= "~" for char in text):
        return BadCell("can't be a task's id", "Ids are letters, digits and signs without spaces.")
    return None


def micros(cell: str, *, decimal_comma: bool) -> int | BadCell:
    """A plain number in millionths, exactly. With `decimal_comma` a comma may be the decimal sign, and what could as
    well be a thousand is refused; without, it never is."""
    text = cell.strip()
    if decimal_comma:
        if _MAYBE_GROUPED.fullmatch(text):
            return BadCell("may be a fraction as well as thousands", _PLAINLY)
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
    elif _decimal_comma(text):
        return BadCell("has a comma in it", _PLAINLY)
    if not _PLAIN.fullmatch(text):
        grouped = GROUPED.fullmatch(text) is not None
        return BadCell("has separators between its thousands" if grouped else "is not a plain number", _PLAINLY)
    try:
        return to_micros(Decimal(text))
    except ValueError:
        return BadCell("can't be counted in millionths", "Give at most six decimals and twelve digits before them.")


def moment(cell: str) -> Moment | BadCell:
    """ISO 8601, a date alone being its first moment in UTC; or seconds or milliseconds since 1970."""
    text = in_iso_order(cell)
    if isinstance(text, TwoDays):
        return BadCell(text.message, text.hint)
    if _SECONDS.fullmatch(text) or _MILLISECONDS.fullmatch(text):
        return Moment(int(text) * (1000 if len(text) <= 10 else 1), True)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return _moment_of_day(text)
    return _placed(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - the zone comes with _placed


def _moment_of_day(text: str) -> Moment | BadCell:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return BadCell("is no time that can be read", "Write ISO 8601, such as 2026-11-01T08:00:00Z or 2026-11-01.")
    return _placed(found)


def _placed(found: datetime) -> Moment | BadCell:
    zoned = found.tzinfo is not None
    ms = to_ms(found if zoned else found.replace(tzinfo=UTC))
    if not 0 <= ms <= _LATEST_MS:
        return BadCell("lies before 1970", "Give the time of the charge.")
    return Moment(ms, zoned)


def _decimal_comma(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text, re.ASCII) is not None
