"""Parts of sentences that many texts share."""

import re
import shlex
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

COMMAND: Final = re.compile(r"\bextend-pipeline (?=[a-z])")
"""A command that names no home, up to its verb."""


def counted(count: int | Decimal, noun: str) -> str:
    """Return a number with its noun: `1 video`, `2 videos`, `0.5 units`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def first_names(names: Sequence[object], most: int = 5) -> str:
    """Return the first names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(map(str, names[:most]))}{more}"


def first_lines(lines: Sequence[str], most: int, *, rest: str = "") -> list[str]:
    """Return the first lines, and one that says how many more there are, with `rest` after it."""
    more = [f"… and {len(lines) - most} more{rest}"] if len(lines) > most else []
    return [*lines[:most], *more]


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, the last of which shows that some are left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def with_home(text: str, home: str) -> str:
    """Return a text whose `extend-pipeline …` commands name a home; those that name one stay."""
    return COMMAND.sub(lambda _: f"extend-pipeline --home {shlex.quote(home)} ", text)
