"""The home of the command: its settings, the time zone of all times on the screen, and `--home` in shown commands."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from extend_pipeline.base.days import UTC_ZONE, day_bounds, day_of, local
from extend_pipeline.base.wording import with_home

if TYPE_CHECKING:
    from extend_pipeline.config.settings import Settings


class _Zone(NamedTuple):
    """A home's time zone, and what it was read from."""

    environment: str | None
    settings: Settings
    marks: tuple[object, ...]
    name: str


_home: Path | None = None
_known: _Zone | None = None


def use_home(home: Path | None) -> None:
    """Set the home of the command: the value of `--home`; None is the home of the environment."""
    global _home, _known
    _home, _known = home, None


def home_option() -> Path | None:
    """Return the value of `--home`; None without it."""
    return _home


def home_settings() -> Settings:
    """Return the settings of the command's home. Raises ConfigError."""
    from extend_pipeline.config.settings import Settings

    return Settings() if _home is None else Settings.for_home(_home)


def with_home_option(message: str) -> str:
    """Return a message with the command's `--home`, if it has one, added to each `extend-pipeline …` command in it."""
    return message if _home is None else with_home(message, str(_home))


def zone() -> str:
    """Return the IANA name of the home's time zone, from its current files; UTC if they can't be read."""
    global _known
    from extend_pipeline.config.home_timezone import home_timezone, timezone_marks
    from extend_pipeline.config.issues import ConfigError
    from extend_pipeline.config.settings import PREFIX

    environment = os.environ.get(f"{PREFIX}HOME")
    if _known is not None and _known.environment == environment:
        settings = _known.settings  # reading them costs more than the rest of a line
    else:
        try:
            settings = home_settings()
        except ConfigError:
            return UTC_ZONE
    marks = timezone_marks(settings)
    if _known is None or _known.settings is not settings or _known.marks != marks:
        _known = _Zone(environment, settings, marks, home_timezone(settings))
    return _known.name


def describe_today(now_ms: int, timezone: str) -> str:
    """Return a sentence that names the time zone, the current day and its end."""
    begins_ms, ends_ms = day_bounds(day_of(now_ms, timezone))
    now, ends = local(now_ms, timezone), local(ends_ms, timezone)
    hours = timedelta(milliseconds=ends_ms - begins_ms) / timedelta(hours=1)
    length = "" if hours == 24 else f", has {hours:g} hours"
    until = f"ends at {ends:%Y-%m-%d %H:%M} {ends.isoformat()[-6:]}"
    return f"days and times are those of {timezone}; today, {now:%Y-%m-%d}{length}, {until}"
