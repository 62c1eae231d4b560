"""The sandbox's idea of now: the real clock, shifted, so that a test can let 31 days pass at once."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Shifted wall-clock time in ms since the epoch. Tokens are checked against the real clock, never this one."""

    def __init__(self, offset: float = 0.0, real: Callable[[], float] = time.time) -> None:
        """`offset` in seconds is added to `real`."""
        self.offset = offset
        self._real = real

    def now_ms(self) -> int:
        """Return the shifted time."""
        return int((self._real() + self.offset) * 1000)

    def real_s(self) -> float:
        """Return the unshifted time in seconds."""
        return self._real()
