"""Text that is safe on a terminal: what came from a catalogue or from a provider can't move the cursor, colour the
screen, or turn the reading direction."""

from __future__ import annotations

import shlex
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from extend_pipeline.base.days import local
from extend_pipeline.base.units import from_ms
from extend_pipeline.commands.render.zone import zone

_JOINERS: Final = "\u200c\u200d"  # harmless, and Persian and many emoji can't be written without them
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, *, keep_lines: bool = False) -> str:
    """The text with control, bidi and other invisible characters shown by their numbers (`\\x1b`, `\\u202e`)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char in _JOINERS or (keep_lines and char == "\n") or unicodedata.category(char) not in _HARMFUL
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes, once it is made visible."""
    shown = visible(text)
    if shown.isascii():
        return len(shown)
    from rich.cells import cell_len

    return cell_len(shown)


def wrapped(text: str, width: int) -> list[str]:
    """Return the text in lines of at most so many columns, broken between words; a word that is wider stays whole."""
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


def shortened(text: str, longest: int) -> str:
    """Return the text, cut to so many characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def format_range(least: str, most: str) -> str:
    """Return a range as a person writes it: `2`, or `2–3`."""
    return least if least == most else f"{least}–{most}"


def plain(number: Decimal) -> str:
    """Return a decimal without exponent: 100, 3.5."""
    return format(number, "f")


def seconds(ms: int | None) -> str | None:
    """Return milliseconds as exact seconds: 9600 → `9.6`."""
    return None if ms is None else plain((Decimal(ms) / 1000).normalize())


def iso(ms: int | None) -> str | None:
    """UTC milliseconds as ISO 8601 with milliseconds and Z."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms // 1000, tz=UTC).replace(microsecond=ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(ms: int) -> str:
    """Return UTC milliseconds as HH:MM:SS of the home's time zone."""
    return local(ms, zone()).strftime("%H:%M:%S")


def minute(ms: int) -> str:
    """Return UTC milliseconds as a sentence names them; where it is shown, they become times of the home's zone."""
    return f"{from_ms(ms):%Y-%m-%d %H:%M:%S} UTC"


def age(seconds_: float) -> str:
    """Return a duration in words: `40 s`, `12 min`, `3 h`, `2 d`."""
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds_ >= size * 2 or (word != "d" and seconds_ >= size):
            return f"{int(seconds_ // size)} {word}"
    return f"{int(seconds_)} s"


def with_home_option(words: str, home: Path | None) -> str:
    """Return words that name an `extend-pipeline …` command, with the command as it must be typed for this home."""
    if home is None:
        return words
    return words.replace("extend-pipeline ", f"extend-pipeline --home {shlex.quote(str(home))} ")
