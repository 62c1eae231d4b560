"""Days of a time zone: of 23, 24 and 25 hours, by names that carry their zone; and times as its clock shows them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from extend_pipeline.base.days import day_bounds, day_of, days_before, in_zone, local, zone_of
from extend_pipeline.base.units import to_ms

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("day", "begins", "hours"),
    [
        ("2026-11-28", "2026-11-28T00:00+00:00", 24.0),
        ("2026-11-28[Asia/Shanghai]", "2026-11-27T16:00+00:00", 24.0),
        ("2026-03-29[Europe/Berlin]", "2026-03-28T23:00+00:00", 23.0),
        ("2026-10-25[Europe/Berlin]", "2026-10-24T22:00+00:00", 25.0),
        ("2026-03-08[America/New_York]", "2026-03-08T05:00+00:00", 23.0),
        ("2026-11-01[America/New_York]", "2026-11-01T04:00+00:00", 25.0),
        ("2026-10-04[Australia/Lord_Howe]", "2026-10-03T13:30+00:00", 23.5),
        ("2025-09-07[America/Santiago]", "2025-09-07T04:00+00:00", 23.0),  # midnight itself is skipped
        ("2025-11-02[America/Havana]", "2025-11-02T04:00+00:00", 25.0),  # midnight comes twice
    ],
)
def test_a_day_lasts_from_its_midnight_to_the_next(day: str, begins: str, hours: float) -> None:
    first, end = day_bounds(day)
    zone = zone_of(day)
    assert (first, end) == (ms(begins), ms(begins) + hours * HOUR_MS)
    moments = (first, (first + end) // 2, end - 1)
    assert {day_of(moment, zone) for moment in moments} == {day}
    assert day not in (day_of(first - 1, zone), day_of(end, zone))
    assert day_bounds(day_of(end, zone))[0] == end, "the next day begins where this one ends"


def test_a_day_of_an_unknown_zone_spans_that_day_in_every_zone() -> None:
    first, end = day_bounds("2026-11-28[Mars/Olympus_Mons]")
    for zone in ("Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"):
        begins, ends = day_bounds("2026-11-28" if zone == "UTC" else f"2026-11-28[{zone}]")
        assert first <= begins < ends <= end
    with pytest.raises(ValueError, match="no day"):
        day_bounds("yesterday")


def test_names_of_days_sort_by_their_dates_in_all_zones() -> None:
    now = ms("2026-11-28T17:00+00:00")
    assert day_of(now, "UTC") == "2026-11-28"
    assert day_of(now, "Asia/Shanghai") == "2026-11-29[Asia/Shanghai]"
    assert days_before(now, "Asia/Shanghai", 3) == "2026-11-26" <= "2026-11-26[Pacific/Kiritimati]"
    assert local(now, "Asia/Shanghai").hour == 1


@pytest.mark.parametrize(
    ("sentence", "zone", "shown"),
    [
        ("until 2026-11-28 16:30 UTC, 3 h left", "Asia/Shanghai", "until 2026-11-29 00:30 +08:00, 3 h left"),
        ("2026-10-25 00:30:07 UTC", "Europe/Berlin", "2026-10-25 02:30:07 +02:00"),
        ("2026-10-25 01:30:07 UTC", "Europe/Berlin", "2026-10-25 02:30:07 +01:00"),
        ("2026-11-28 16:30 UTC", "UTC", "2026-11-28 16:30 UTC"),
        ("2026-02-30 16:30 UTC", "Asia/Shanghai", "2026-02-30 16:30 UTC"),
        ("9999-12-31 23:00 UTC", "Asia/Shanghai", "9999-12-31 23:00 UTC"),
        ("write 2026-11-01T08:00:00Z", "Asia/Shanghai", "write 2026-11-01T08:00:00Z"),
    ],
)
def test_a_sentence_is_shown_with_the_times_of_a_zone(sentence: str, zone: str, shown: str) -> None:
    assert in_zone(sentence, zone) == shown


def test_no_zone_means_utc() -> None:
    assert day_of(to_ms(datetime(2026, 11, 1, 23, 59, 59, tzinfo=UTC)), "UTC") == "2026-11-01"
