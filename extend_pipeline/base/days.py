"""Calendar days of a time zone: the day of a moment, the bounds of a day, and local times in texts. A time zone is an
IANA name; moments are UTC ms."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from extend_pipeline.base.units import from_ms, to_ms

UTC_ZONE: Final = "UTC"
_LABEL: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\[([^\]]+)\])?", re.ASCII)
_UTC_TIME: Final = re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2})(:[0-9]{2})? UTC\b", re.ASCII)
_EASTMOST, _WESTMOST = timedelta(hours=14), timedelta(hours=12)  # the extreme offsets from UTC of all current zones


def day_of(ms: int, zone: str) -> str:
    """Return the name of a moment's day: 2026-11-28 in UTC, 2026-11-28[Asia/Shanghai] elsewhere. The name includes the
    zone, so that the bounds of the day stay the same when a home changes its time zone."""
    day = local(ms, zone).date().isoformat()
    return day if zone == UTC_ZONE else f"{day}[{zone}]"


def day_bounds(day: str) -> tuple[int, int]:
    """Return the first moment of a named day and the first moment after it (UTC ms). A day has 23 to 25 hours.

    For a zone that this machine doesn't know, return the earliest beginning and the latest end in any zone.
    """
    iso_date, zone = _parts(day)
    first = date.fromisoformat(iso_date)
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
    """Return the date `count` days before a moment's date, without a zone; day names sort by their dates."""
    return (local(ms, zone).date() - timedelta(days=count)).isoformat()


def local(ms: int, zone: str) -> datetime:
    """Return a moment as an aware datetime in a time zone."""
    return from_ms(ms).astimezone(ZoneInfo(zone))


def in_zone(sentence: str, zone: str) -> str:
    """Return a sentence with its UTC times (`2026-11-28 16:00 UTC`, as texts are stored) replaced by local times with
    the offset (`2026-11-29 00:00 +08:00`). With zone UTC, return it unchanged."""
    if zone == UTC_ZONE:
        return sentence
    return _UTC_TIME.sub(lambda match: _as_local(match, zone), sentence)


def _as_local(match: re.Match[str], zone: str) -> str:
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3] or ''}+00:00").astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        return match[0]
    clock = moment.strftime("%H:%M" if match[3] is None else "%H:%M:%S")
    return f"{moment:%Y-%m-%d} {clock} {moment.isoformat()[-6:]}"


def _parts(day: str) -> tuple[str, str]:
    match = _LABEL.fullmatch(day)
    if match is None:
        raise ValueError(f"{day!r} names no day")
    return match[1], match[2] or UTC_ZONE


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    # when clocks skip midnight, this is the first moment after it; when midnight occurs twice, it is the first
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))
