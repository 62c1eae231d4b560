"""The time zone of all times on the screen: that of the command's home."""

from datetime import timedelta
from pathlib import Path

from extend_pipeline.base.days import UTC_ZONE, day_bounds, day_of, local

_of_home: Path | None = None
_known: tuple[tuple[object, ...], str] | None = None


def show_times_of(home: Path | None) -> None:
    """Set the home whose time zone is used; None is the home of the environment."""
    global _of_home, _known
    _of_home, _known = home, None


def zone() -> str:
    """Return the IANA name of the home's time zone, from its current files; UTC if they can't be read."""
    global _known
    from extend_pipeline.config.issues import ConfigError
    from extend_pipeline.config.load import file_marks, home_timezone
    from extend_pipeline.config.settings import Settings

    try:
        settings = Settings() if _of_home is None else Settings.for_home(_of_home)
    except ConfigError:
        return UTC_ZONE
    marks = file_marks(settings.home)
    if _known is None or _known[0] != marks:
        _known = (marks, home_timezone(settings))
    return _known[1]


def describe_today(now_ms: int, timezone: str) -> str:
    """Return a sentence that names the time zone, the current day and its end."""
    begins_ms, ends_ms = day_bounds(day_of(now_ms, timezone))
    now, ends = local(now_ms, timezone), local(ends_ms, timezone)
    hours = timedelta(milliseconds=ends_ms - begins_ms) / timedelta(hours=1)
    length = "" if hours == 24 else f", has {hours:g} hours"
    until = f"ends at {ends:%Y-%m-%d %H:%M} {ends.isoformat()[-6:]}"
    return f"days and times are those of {timezone}; today, {now:%Y-%m-%d}{length}, {until}"
