"""Marks: short digests that tell what was reported before, kept in Dagster's storage as one text."""

import hashlib
from collections.abc import Iterable
from typing import Final

MARK: Final = 10  # hex digits of a thing's digest: two of two thousand are the same once in half a million times
MAX_MARKS: Final = 2_000  # 20 kB in Dagster's storage


def mark_of(thing: str) -> str:
    """Return the mark of a thing from its identity."""
    return hashlib.sha256(thing.encode("utf-8", "surrogatepass")).hexdigest()[:MARK]


def join_marks(marks: Iterable[str]) -> str:
    """Return the text of marks, the same in any order."""
    return "".join(sorted(marks))


def split_marks(text: str) -> frozenset[str]:
    """Return the marks of a text."""
    return frozenset(text[at : at + MARK] for at in range(0, len(text), MARK))
