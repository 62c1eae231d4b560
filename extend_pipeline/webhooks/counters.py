"""Counts of callbacks by result, for the log. Contents are never logged, and a flood of callbacks makes one line."""

import threading
from collections import Counter
from typing import Final

MIN_LOG_INTERVAL_S: Final = 10.0


class Counters:
    """Counts since the last log line and since the start. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since_last_line: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self._problem = ""

    def count(self, outcome: str, number: int = 1) -> None:
        """Add `number` callbacks with the result `outcome`."""
        with self._lock:
            self._since_last_line[outcome] += number
            self._total[outcome] += number

    def set_problem(self, message: str) -> None:
        """Set the problem to log with the next line, for the operator to fix; only the newest one is logged."""
        with self._lock:
            self._problem = message

    @property
    def total(self) -> dict[str, int]:
        """Return the number of callbacks by result since the start."""
        with self._lock:
            return dict(self._total)

    def take_lines(self) -> list[str]:
        """Return the log lines about the time since the last call: at most the counts and one problem."""
        with self._lock:
            counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self._since_last_line.items()))
            problem, self._problem = self._problem, ""
            self._since_last_line.clear()
        return [line for line in (f"callbacks: {counts}" if counts else "", problem) if line]
