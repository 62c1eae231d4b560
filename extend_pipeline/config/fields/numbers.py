"""Fields that are numbers: plain decimals within bounds, seconds, units.

Files give text. Code may give the value itself: an int is milliseconds or micro-units already.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, ClassVar

from annotated_types import GroupedMetadata
from pydantic import BeforeValidator

from extend_pipeline.base.units import to_micros
from extend_pipeline.config.fields.text import field_error, schema_as, single_value
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


@dataclass(frozen=True, kw_only=True)
class Number(GroupedMetadata):
    """Annotate a field that is a plain decimal number. Its bounds are those of the validator, of the messages and of
    the JSON schema: at least `ge`, above `gt`, at most `le`; None for no bound."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    json_type: ClassVar[str] = "number"

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(self.parse)
        yield schema_as(self.schema)

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return the JSON schema of the field as it is written."""
        bounds = {"minimum": self.ge, "exclusiveMinimum": self.gt, "maximum": self.le}
        return {"type": self.json_type} | {name: bound for name, bound in bounds.items() if bound is not None}

    @property
    def hint(self) -> str:
        """Return what to write instead of a number that is refused."""
        if self.ge is not None and self.le is not None:
            return f"Give a number from {self.ge:.12g} to {self.le:.12g}."
        if self.gt is not None and self.le is not None:
            return f"Give a number above {self.gt:.12g}, at most {self.le:.12g}."
        if self.ge is None and self.gt is None:
            return "Give a number, such as 5 or 0.5."
        floor = f"above {self.gt:.12g}" if self.gt is not None else f"of at least {self.ge:.12g}"
        return f"Give a number {floor}, such as 5 or 0.5."

    def decimal(self, value: object) -> Decimal:
        """Return the number that is written, within the bounds. Exponents, NaN and infinities are refused, because in
        these files they are mistakes."""
        number = value if isinstance(value, Decimal) else _plain(value, self.hint, self.le)
        if not number.is_finite():
            raise field_error("is not a number", self.hint)
        if self.ge is not None and number < _exact(self.ge):
            raise field_error(f"is below {self.ge:.12g}", self.hint)
        if self.gt is not None and number <= _exact(self.gt):
            raise field_error(f"is not above {self.gt:.12g}", self.hint)
        if self.le is not None and number > _exact(self.le):
            raise field_error(f"is above {self.le:.12g}", self.hint)
        return number if number else Decimal(0)  # -0 would be a second name of the same value

    def parse(self, value: object) -> object:
        """Return the value that the field keeps. Raises the field's error."""
        return self.decimal(value)


class WholeNumber(Number):
    """Annotate a field that is a whole number from `ge` to `le`."""

    json_type: ClassVar[str] = "integer"

    def parse(self, value: object) -> object:
        """Return an int; None for a field that was not written."""
        if value is None:
            return None
        number = self.decimal(value)
        if number != int(number) or (isinstance(value, str) and ("." in value or "," in value)):
            raise field_error("is not a whole number", f"Give a whole number from {self.ge} to {self.le}.")
        return int(number)


class Seconds(Number):
    """Annotate a field that is written in seconds and kept in ms."""

    def parse(self, value: object) -> object:
        """Return milliseconds, rounded to the nearest; an int is milliseconds already."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        exact = self.decimal(value) * 1000
        ms = int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))
        if ms < 1 and exact:
            raise field_error("is less than a millisecond", self.hint)
        return ms


class Units(Number):
    """Annotate a field that is written in units (or in a currency) and kept in millionths of them."""

    def parse(self, value: object) -> object:
        """Return micro-units, exactly; an int is micro-units already."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        number = self.decimal(value)
        try:
            return to_micros(number)
        except ValueError as error:
            raise field_error("has more than six decimal places", "Give at most six.") from error


def _exact(bound: float) -> Decimal:
    return Decimal(repr(bound))


def _plain(value: object, hint: str, maximum: float | None) -> Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    text = single_value(value)
    if isinstance(value, CommaCell) and _DECIMAL_COMMA.fullmatch(text) and not _MAYBE_THOUSANDS.fullmatch(text):
        text = text.replace(",", ".")
    elif isinstance(value, CommaCell) and _MAYBE_THOUSANDS.fullmatch(text.replace(".", ",")):
        thousands = text.replace(".", "").replace(",", "")
        if "," in text or maximum is None or Decimal(thousands) <= _exact(maximum):  # else it can only be a fraction
            fraction = f"{text.replace('.', ',')}0"
            raise field_error("may be a fraction as well as thousands", f"Write {thousands} or {fraction}.")
    if not _PLAIN_NUMBER.match(text):
        message, example = _not_plain(text)
        raise field_error(message, f"{example} {hint}".strip())
    return Decimal(text)


def _not_plain(text: str) -> tuple[str, str]:
    """Return why a text is not a plain number, and how to write it."""
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
