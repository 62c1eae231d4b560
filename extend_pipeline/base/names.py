"""Names of videos and accounts: letters and digits of any script, in one form (Unicode's NFC)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_NAME_LENGTH: Final = 64  # characters
PATTERN: Final = (
    r"^(?![-.])(?!.*\.\.\.)"
    r"[^\u0000-\u002c\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u00a0]{1,64}$"
)
"""What an editor checks as one types, in every dialect of regular expressions: no punctuation of ASCII's but . _ -"""

_SIGNS: Final = frozenset("._-")
_KINDS: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})  # letters, their marks, decimal digits
# letters and marks that show nothing: fillers of Hangul and Khmer, joiners, selectors of a variant
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_BEFORE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", re.ASCII)
_PAID: Final = "If films were paid for under this name, write was: with it beside the new one."
_USE: Final = "Use letters and digits of any script, and . _ - between them."


def normal_name(text: str) -> str:
    """Return a name in the one form in which it is kept: the same characters typed on another system are the same
    name."""
    return unicodedata.normalize("NFC", text)


def name_fault(name: str) -> tuple[str, str] | None:
    """Return why a text in normal form can't be a name, and what to do; None where it can."""
    if not name:
        return "is empty", _USE
    if len(name) > MAX_NAME_LENGTH:
        return f"has {len(name)} characters", f"Shorten it to {MAX_NAME_LENGTH} at most."
    if "..." in name:
        return (
            "holds three dots, by which Dagster names a range of partitions",
            f"Write one dot, or another sign. {_PAID}",
        )
    if name[0] == "-":
        return "begins with -, by which a command takes it for an option", f"Begin it with a letter or a digit. {_PAID}"
    if name[0] == ".":
        return "begins with a dot", "Begin it with a letter or a digit."
    if unicodedata.category(name[0]).startswith("M"):
        return f"begins with a mark that belongs onto a letter (U+{ord(name[0]):04X})", "Begin it with a letter."
    for char in name:
        kind = unicodedata.category(char)
        if char in _SIGNS or (kind in _KINDS and not _UNSEEN.match(char)):
            continue
        if char.isspace():
            return "holds a space", "Write _ or - instead."
        if not char.isprintable() or _UNSEEN.match(char):
            return f"holds an invisible character (U+{ord(char):04X})", "Remove it."
        return f"holds {char}", _USE
    return None


def was_a_name(text: str) -> bool:
    """Return whether a text could be a name before names were of any script: a hyphen first and three dots were
    allowed, and what was paid for under such a name can go on under another."""
    return _BEFORE.fullmatch(text) is not None
