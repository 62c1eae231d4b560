"""Format numbers, times and text. Text of a catalogue or a provider is escaped, so that it can't control a terminal."""

import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from extend_pipeline.base.days import local
from extend_pipeline.base.units import from_ms

_JOINERS: Final = "\u200c\u200d"  # harmless, and needed by Persian and many emoji
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, *, keep_lines: bool = False) -> str:
    """Return the text with control, bidi and other invisible characters escaped (`\\x1b`, `\\u202e`)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char in _JOINERS or (keep_lines and char == "\n") or unicodedata.category(char) not in _HARMFUL
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes after it was escaped."""
    escaped = visible(text)
    if escaped.isascii():
        return len(escaped)
    from rich.cells import cell_len

    return cell_len(escaped)


def wrapped(text: str, width: int) -> list[str]:
    """Return the text as lines of at most `width` columns, broken between words. A wider word stays whole."""
    lines: list[str] = []
    room = 0
    for word in text.split(" "):
        taken = cells(word) + 1
        if taken <= room:
            lines[-1] += f" {word}"
            room -= taken
        else:
            lines.append(word)
            room = width - taken + 1
    return lines


def format_range(least: str, most: str) -> str:
    """Return a range as text: `2`, or `2–3`."""
    return least if least == most else f"{least}–{most}"


def plain(number: Decimal) -> str:
    """Return a decimal without exponent: 100, 3.5."""
    return format(number, "f")


def seconds(ms: int | None) -> str | None:
    """Return milliseconds as exact seconds: 9600 → `9.6`."""
    return None if ms is None else plain((Decimal(ms) / 1000).normalize())


def iso(ms: int | None) -> str | None:
    """Return UTC milliseconds as ISO 8601 with milliseconds and Z."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms // 1000, tz=UTC).replace(microsecond=ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(ms: int, timezone: str) -> str:
    """Return UTC milliseconds as HH:MM:SS of a time zone."""
    return local(ms, timezone).strftime("%H:%M:%S")


def minute(ms: int) -> str:
    """Return UTC milliseconds as `2026-02-14 12:00:03 UTC`. `on_screen` converts such times to the home's zone."""
    return f"{from_ms(ms):%Y-%m-%d %H:%M:%S} UTC"


def age(seconds_: float) -> str:
    """Return a duration in its largest unit: `40 s`, `12 min`, `3 h`, `2 d`. Hours are used up to two days."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds_ >= size * 2 or (unit != "d" and seconds_ >= size):
            return f"{int(seconds_ // size)} {unit}"
    return f"{int(seconds_)} s"
