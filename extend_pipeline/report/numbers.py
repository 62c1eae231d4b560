"""Write exact numbers for people: all digits, thousands apart, and a dash for what isn't known."""

from decimal import Decimal
from typing import Final

UNKNOWN: Final = "–"


def number(value: Decimal | int | None) -> str:
    """Return a number without zeros at its end: 1,234.5."""
    if value is None:
        return UNKNOWN
    text = f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(value: Decimal | None) -> str:
    """Return an amount with two decimals, or more where it has more: 12.50, 0.085556."""
    if value is None:
        return UNKNOWN
    whole, _, decimals = f"{value:,f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"
