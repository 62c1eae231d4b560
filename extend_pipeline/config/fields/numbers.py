"""The types of single fields that are numbers: plain decimals between bounds, seconds, units.

Files give text; code may give the ready value instead (an int is already milliseconds or micro-units).
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

from pydantic import BeforeValidator

from extend_pipeline.base.units import to_micros
from extend_pipeline.config.fields.text import field_error, single_value
from extend_pipeline.config.files.sheet import CommaCell

GROUPED = re.compile(r"[+-]?[0-9]{1,3}([., '_\u00a0\u202f\u2019][0-9]{3})+([.,][0-9]+)?", re.ASCII)
"""A number with separators between its thousands."""

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?\Z", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]{1,12},[0-9]{1,12}", re.ASCII)
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}", re.ASCII)
_LONG_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
_NO_NUMBER = re.compile(r"[+-]?\.?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_EXPONENT = re.compile(r"[+-]?[0-9.,]+e[+-]?[0-9]+", re.ASCII | re.IGNORECASE)
_WITH_UNIT = re.compile(r"[^0-9+-]?\s*[+-]?[0-9]+([.,][0-9]+)?\s*[^0-9\s.,:]+", re.ASCII)


def decimal(value: object, *, least: str | None, most: str | None, above: str | None = None) -> Decimal:
    """Return a plain decimal number between bounds. Exponents, NaN and infinities are refused: here they are
    mistakes."""
    allowed = _range_hint(least=least, most=most, above=above)
    number = value if isinstance(value, Decimal) else _plain(value, allowed, most)
    if not number.is_finite():
        raise field_error("is not a number", allowed)
    if least is not None and number < Decimal(least):
        raise field_error(f"is below {least}", allowed)
    if above is not None and number <= Decimal(above):
        raise field_error(f"is not above {above}", allowed)
    if most is not None and number > Decimal(most):
        raise field_error(f"is above {most}", allowed)
    return number if number else Decimal(0)  # -0 would be a second name of the same value


def _plain(value: object, allowed: str, most: str | None) -> Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    text = single_value(value)
    if isinstance(value, CommaCell) and _DECIMAL_COMMA.fullmatch(text) and not _MAYBE_THOUSANDS.fullmatch(text):
        text = text.replace(",", ".")
    elif isinstance(value, CommaCell) and _MAYBE_THOUSANDS.fullmatch(text.replace(".", ",")):
        thousands = text.replace(".", "").replace(",", "")
        if "," in text or most is None or Decimal(thousands) <= Decimal(most):  # else it can only be a fraction
            fraction = f"{text.replace('.', ',')}0"
            raise field_error("may be a fraction as well as thousands", f"Write {thousands} or {fraction}.")
    if not _PLAIN_NUMBER.match(text):
        message, example = _not_plain(text)
        raise field_error(message, f"{example} {allowed}".strip())
    return Decimal(text)


def _not_plain(text: str) -> tuple[str, str]:
    """Return what kind of text stands in place of a plain number, and how to write it."""
    if text.endswith("%"):
        return "is a percentage", "Write 0.5 for 50 %."
    if _NO_NUMBER.fullmatch(text):
        return "is not a number", ""
    if _EXPONENT.fullmatch(text):
        return "has an exponent", "Write all its digits."
    if _MAYBE_THOUSANDS.fullmatch(text):
        return "may be a fraction as well as thousands", f"Write {text.replace(',', '.')} or {text.replace(',', '')}."
    if GROUPED.fullmatch(text):
        return "has separators between its thousands", "Write 1250.5 and not 1,250.5."
    if "," in text and _LONG_NUMBER.fullmatch(text.replace(",", ".", 1)):
        return "has a decimal comma", f"Write {text.replace(',', '.')} if that is meant."
    if _LONG_NUMBER.fullmatch(text):
        return "has more digits than any quantity here", ""
    if _WITH_UNIT.fullmatch(text):
        return "has more than the number in it", "Write the number alone, without its unit."
    return "is not a plain number", ""


def _range_hint(*, least: str | None, most: str | None, above: str | None) -> str:
    if least is not None and most is not None:
        return f"Give a number from {least} to {most}."
    if above is not None and most is not None:
        return f"Give a number above {above}, at most {most}."
    if above is None and least is None:
        return "Give a number, such as 5 or 0.5."
    floor = f"above {above}" if above is not None else f"of at least {least}"
    return f"Give a number {floor}, such as 5 or 0.5."


def bounded(*, least: str | None = None, most: str | None = None, above: str | None = None) -> BeforeValidator:
    """Return a decimal number between bounds."""
    return BeforeValidator(lambda value: decimal(value, least=least, most=most, above=above))


def whole(*, least: int, most: int) -> BeforeValidator:
    """Return a whole number between bounds."""

    def parse(value: object) -> int:
        number = decimal(value, least=str(least), most=str(most))
        if number != int(number) or (isinstance(value, str) and ("." in value or "," in value)):
            raise field_error("is not a whole number", f"Give a whole number from {least} to {most}.")
        return int(number)

    return BeforeValidator(parse)


def seconds_as_ms(*, most: str | None, least: str | None = None) -> BeforeValidator:
    """Return text is seconds, above 0 unless `least` is given, and becomes milliseconds, to the nearest; an int is
    milliseconds already."""
    above = "0" if least is None else None

    def parse(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        exact = decimal(value, least=least, most=most, above=above) * 1000
        ms = int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))
        if ms < 1 and exact:
            raise field_error("is less than a millisecond", _range_hint(least=least, most=most, above=above))
        return ms

    return BeforeValidator(parse)


def as_micros(*, above: str | None = None, least: str | None = None, most: str | None = None) -> BeforeValidator:
    """Return text is units (or currency) and becomes millionths, exactly; an int is millionths already."""

    def parse(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        number = decimal(value, least=least, most=most, above=above)
        try:
            return to_micros(number)
        except ValueError as error:
            raise field_error("has more than six decimal places", "Give at most six.") from error

    return BeforeValidator(parse)
