"""Names of videos and accounts: letters and digits of any script, in one form (Unicode's NFC)."""

import re
import unicodedata
from typing import Final

MAX_NAME_LENGTH: Final = 64  # characters
PATTERN: Final = (
    r"^(?![-.])(?!.*\.\.\.)"
    r"[^\u0000-\u002c\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u00a0]{1,64}$"
)
"""Pattern for the JSON schema, valid in every dialect of regular expressions: no ASCII punctuation except . _ -"""

_SIGNS: Final = frozenset("._-")
_KINDS: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})  # letters, their marks, decimal digits
# invisible letters and marks: fillers of Hangul and Khmer, joiners, variation selectors
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_PLAIN: Final = re.compile(r"(?!.*\.\.\.)[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)
_EARLIER_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", re.ASCII)
_PAID: Final = "If films were paid for under this name, write was: with it beside the new one."
_USE: Final = "Use letters and digits of any script, and . _ - between them."


def normal_name(text: str) -> str:
    """Return a name in its stored form (NFC), so that the same characters typed on another system are the same name."""
    return unicodedata.normalize("NFC", text)


def name_fault(name: str) -> tuple[str, str] | None:
    """Return why a normalised text can't be a name, and what to do; None when it can."""
    if _PLAIN.fullmatch(name):
        return None
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
        if char in _SIGNS or (kind in _KINDS and not _INVISIBLE.match(char)):
            continue
        if char.isspace():
            return "holds a space", "Write _ or - instead."
        if not char.isprintable() or _INVISIBLE.match(char):
            return f"holds an invisible character (U+{ord(char):04X})", "Remove it."
        return f"holds {char}", _USE
    return None


def was_a_name(text: str) -> bool:
    """Return whether a text was a valid name in earlier versions, which allowed a leading hyphen and three dots. Paid
    results under such a name can be kept under a new one (`was`)."""
    return _EARLIER_NAME.fullmatch(text) is not None
