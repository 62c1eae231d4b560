"""Ids of providers, as exact text, and signs that a spreadsheet has rounded them. Used for the catalogue and for
invoices."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, ValidationInfo

from extend_pipeline.config.fields.text import field_error, schema_as

_DIGITS_KEPT: Final = 15  # a spreadsheet keeps these digits of a number and writes 0 for the others
_MAX_LENGTH: Final = 256
_NUMBER: Final = re.compile(
    r"[0-9]+[.,][0-9]+[eE][+-]?[0-9]+|[0-9]+[eE]\+[0-9]+|[0-9]+[.,][0-9]*|[0-9]{1,3}([.,'\u2019][0-9]{3})+([.,][0-9]+)?",
    re.ASCII,
)
# a long number that a spreadsheet keeps as text; anything else is read exactly
_PROTECTED: Final = re.compile(r"""="[0-9]{12,}"|'[0-9]{12,}""", re.ASCII)
_AS_SHOWN: Final = "Give the id as the provider gave it."


def bare_id(cell: str) -> str:
    """Return an id without its protection from a spreadsheet: `="0070"` and `'0070` are both 0070."""
    text = cell.strip()
    if text.startswith('="') and text.endswith('"') and len(text) > 3:
        return text[2:-1]
    return text.removeprefix("'")


def is_rounded_number(text: str) -> bool:
    """Return whether an id is written with an exponent, a fraction or grouped thousands, as no id is."""
    return _NUMBER.fullmatch(text) is not None


def zeros_beyond_15_digits(text: str) -> int | None:
    """Return the number of digits after the 15th significant one, if all of them are 0; None if one is not, and 0 if
    there are none or the id is not all digits."""
    if not (text.isascii() and text.isdecimal()):
        return 0
    beyond = text.lstrip("0")[_DIGITS_KEPT:]
    return len(beyond) if set(beyond) <= {"0"} else None


def _exact_id(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise field_error("is not a single value", _AS_SHOWN)
    text = bare_id(value) if _PROTECTED.fullmatch(value) else value
    if not text or len(text) > _MAX_LENGTH:
        raise field_error("has no length that an id has", _AS_SHOWN)
    if " " in text or not text.isprintable():  # the only space that is printable
        raise field_error("holds a space or an invisible character", _AS_SHOWN)
    if is_rounded_number(text):
        raise field_error(
            "is a number that a spreadsheet has rounded, and no id: its last digits are gone",
            "Format the column as text, and paste the id again as the provider's console shows it.",
        )
    # an invalid `exact` is the only issue to report
    if zeros_beyond_15_digits(text) and not info.data.get("exact", True):
        raise field_error(
            f"looks rounded: a spreadsheet keeps {_DIGITS_KEPT} digits of a number and writes 0 for the others",
            "Write it as the provider's console shows it, in a column that is formatted as text. If it really ends so, "
            "write exact: true beside it (in CSV, true in the column source.exact).",
        )
    return text


# an unquoted id of digits is a number to an editor, and exact text here
ExactId = Annotated[str, BeforeValidator(_exact_id), schema_as({"type": ["string", "number"], "minLength": 1})]
