"""Exact quantities: units and money as integers in millionths, times as integers in UTC ms. Money is never a float."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

MICRO = 1_000_000


def to_micros(value: Decimal | str | int) -> int:
    """Convert a decimal quantity to millionths, exactly.

    Raises ValueError for a value that is no finite decimal, is too large, or has more than six decimal places, because
    a rounded quantity can't be reserved.
    """
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is not a decimal number") from error
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    if number.adjusted() > 11:
        raise ValueError(f"{value!r} is too large for a quantity of units")
    scaled = number * MICRO
    whole = int(scaled)
    if scaled != whole:
        raise ValueError(f"{value!r} has more than six decimal places")
    return whole


def from_micros(micros: int) -> Decimal:
    """Convert millionths to a decimal quantity without trailing zeros: 3_500_000 → Decimal('3.5')."""
    return Decimal(format(Decimal(micros).scaleb(-6).normalize(), "f"))


def amount_micros(*, units_micros: int, unit_price_micros: int) -> int:
    """Return the cost of units in millionths of the currency, rounded half to even. This is the only rounding."""
    exact = Decimal(units_micros) * Decimal(unit_price_micros) / MICRO
    return int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))


def units_micros(*, amount_micros: int, unit_price_micros: int) -> int:
    """Return the units that an amount pays for at a price above 0, in millionths, rounded half to even."""
    exact = Decimal(amount_micros) * MICRO / unit_price_micros
    return int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))


def to_ms(moment: datetime) -> int:
    """Return the UTC ms since 1970 of an aware datetime. Raises ValueError for a naive datetime, whose zone is
    unknown."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone can't be placed")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_ms(ms: int) -> datetime:
    """Return the aware UTC datetime of a time in ms since 1970."""
    return datetime.fromtimestamp(ms // 1000, tz=UTC).replace(microsecond=(ms % 1000) * 1000)
