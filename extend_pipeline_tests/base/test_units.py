"""Exact quantities and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.base.units import amount_micros, from_micros, from_ms, to_micros, to_ms


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_micros_survive_conversion_to_a_decimal(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros


@pytest.mark.parametrize(("text", "micros"), [("3.5", 3_500_000), ("0.000001", 1), ("2", 2_000_000), ("-1e-6", -1)])
def test_a_quantity_is_read_exactly(text: str, micros: int) -> None:
    assert to_micros(text) == micros


@pytest.mark.parametrize("text", ["0.0000001", "NaN", "Infinity", "two", "", "1e30", "1e-30"])
def test_a_quantity_that_can_not_be_stored_exactly_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        to_micros(text)


def test_a_quantity_is_shown_without_trailing_zeros_or_exponents() -> None:
    assert [str(from_micros(m)) for m in (3_500_000, 2_000_000, 100_000_000, 0, 1)] == [
        "3.5",
        "2",
        "100",
        "0",
        "0.000001",
    ]


def test_an_amount_is_units_times_price_and_rounds_half_to_even_once() -> None:
    assert amount_micros(units_micros=3_500_000, unit_price_micros=140_000) == 490_000
    assert amount_micros(units_micros=500_000, unit_price_micros=1) == 0
    assert amount_micros(units_micros=1_500_000, unit_price_micros=1) == 2
    assert amount_micros(units_micros=-1_500_000, unit_price_micros=1) == -2


@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=0, max_value=10**9))
def test_a_reservation_and_its_release_cancel_out(units: int, price: int) -> None:
    reserved = amount_micros(units_micros=units, unit_price_micros=price)
    assert reserved + amount_micros(units_micros=-units, unit_price_micros=price) == 0


@given(st.datetimes(datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2100-01-01"), timezones=st.just(UTC)))
def test_milliseconds_survive_conversion_to_a_datetime(moment: datetime) -> None:
    assert from_ms(to_ms(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_a_time_of_another_zone_is_the_same_moment_and_a_naive_one_is_refused() -> None:
    local = datetime(2026, 11, 1, 16, tzinfo=timezone(timedelta(hours=8)))
    assert to_ms(local) == to_ms(datetime(2026, 11, 1, 8, tzinfo=UTC))
    with pytest.raises(ValueError, match="zone"):
        to_ms(datetime.fromisoformat("2026-11-01T08:00:00"))


def test_a_decimal_is_converted_exactly() -> None:
    assert to_micros(Decimal("0.14")) == 140_000
    assert to_micros(7) == 7_000_000
