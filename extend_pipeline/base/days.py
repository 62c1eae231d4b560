"""Calendar days of a time zone: which day a moment counts for, when a day begins and ends, and times as a person in
that zone reads them. A time zone is an IANA name; moments are milliseconds of UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from extend_pipeline.base.units import from_ms, to_ms

NO_ZONE: Final = "UTC"
_LABEL: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\[([^\]]+)\])?", re.ASCII)
_WRITTEN: Final = re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2})(:[0-9]{2})? UTC\b", re.ASCII)
_EASTMOST, _WESTMOST = timedelta(hours=14), timedelta(hours=12)  # of UTC, of all zones of today


def day_of(ms: int, zone: str) -> str:
    """Return the name of the day of a moment: 2026-11-28 in UTC, 2026-11-28[Asia/Shanghai] elsewhere. It carries its
    zone, so that the moments between which a day lasts stay the same when a home takes another zone."""
    day = local(ms, zone).date().isoformat()
    return day if zone == NO_ZONE else f"{day}[{zone}]"


def day_bounds(day: str) -> tuple[int, int]:
    """Return the first moment of a named day and the first one after it; 23 to 25 hours lie between where clocks
    change. A zone that this machine doesn't know counts from where the day begins first to where it ends last."""
    written, zone = _parts(day)
    first = date.fromisoformat(written)
    try:
        known = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
        return to_ms(midnight - _EASTMOST), to_ms(midnight + timedelta(days=1) + _WESTMOST)
    return _midnight_ms(first, known), _midnight_ms(first + timedelta(days=1), known)


def zone_of(day: str) -> str:
    """Return the zone of a named day."""
    return _parts(day)[1]


def days_before(ms: int, zone: str, count: int) -> str:
    """Return the date, without a zone, that lies so many days before a moment's; named days sort by their dates."""
    return (local(ms, zone).date() - timedelta(days=count)).isoformat()


def local(ms: int, zone: str) -> datetime:
    """Return a moment as the clock on the wall of that zone shows it."""
    return from_ms(ms).astimezone(ZoneInfo(zone))


def in_zone(sentence: str, zone: str) -> str:
    """Return a sentence with its times (`2026-11-28 16:00 UTC`, as they are written and stored) as the zone's clock
    shows them, with the offset: `2026-11-29 00:00 +08:00`. In UTC it stays as it is."""
    if zone == NO_ZONE:
        return sentence
    return _WRITTEN.sub(lambda found: _moved(found, zone), sentence)


def _moved(found: re.Match[str], zone: str) -> str:
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or ''}+00:00").astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        return found[0]
    clock = moment.strftime("%H:%M" if found[3] is None else "%H:%M:%S")
    return f"{moment:%Y-%m-%d} {clock} {moment.isoformat()[-6:]}"


def _parts(day: str) -> tuple[str, str]:
    found = _LABEL.fullmatch(day)
    if found is None:
        raise ValueError(f"{day!r} names no day")
    return found[1], found[2] or NO_ZONE


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    # where clocks skip midnight this is the first moment after it; where midnight comes twice it is the first one
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))
