"""What really happened in a run, counted, so that a machine that does nothing can't pass."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Counters:
    """Counts by name; times in seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def add(self, what: str, number: int = 1) -> None:
        """Count something."""
        self.counts[what] += number

    def group(self, prefix: str) -> int:
        """How often anything happened whose name begins so."""
        return sum(number for name, number in self.counts.items() if name.startswith(prefix))

    def below(self, floors: Mapping[str, int]) -> list[str]:
        """Groups of which less happened than there must, in words."""
        return [
            f"{prefix}: {self.group(prefix)} happened, {least} must"
            for prefix, least in floors.items()
            if self.group(prefix) < least
        ]

    def table(self) -> str:
        """The counts as lines, and the speed."""
        took = time.monotonic() - self.began
        lines = [f"{number:>8,}  {name}" for name, number in sorted(self.counts.items())]
        pace = self.counts["steps"] / took if took else 0.0
        return "\n".join([*lines, f"{took:>8,.1f}  seconds, {pace:,.1f} steps a second"])
