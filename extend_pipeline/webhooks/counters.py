"""What the receiver tells: how many callbacks met which fate, never what was in one. A flood makes one line."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

EVERY_S: Final = 10.0  # seconds between two lines at least


class Counters:
    """Counts since the last line, and the total. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self._trouble = ""

    def count(self, outcome: str, number: int = 1) -> None:
        """So many more callbacks met a fate."""
        with self._lock:
            self._fresh[outcome] += number
            self._total[outcome] += number

    def trouble(self, words: str) -> None:
        """Something is wrong that a person should mend; the newest is told with the next line."""
        with self._lock:
            self._trouble = words

    @property
    def total(self) -> dict[str, int]:
        """Return how many met each fate since the start."""
        with self._lock:
            return dict(self._total)

    def lines(self) -> list[str]:
        """Return what there is to tell since the last time; none where nothing happened."""
        with self._lock:
            told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self._fresh.items()))
            trouble, self._trouble = self._trouble, ""
            self._fresh.clear()
        return [*([f"callbacks: {told}"] if told else []), *([trouble] if trouble else [])]
