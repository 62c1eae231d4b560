"""Stops a process of the machine at a drawn place, as SIGSTOP would, while others go on; and lets it go on, or die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.events import LedgerTransaction

PLACES: Final = ("write", "post")
DEADLINE_S: Final = 60.0


class Killed(BaseException):
    """What a thread of a stopped process raises where the process is killed instead of woken. Not an Exception: nothing
    may handle it."""


class Gate:
    """One process's way to the world: its transactions (`write`) and its POSTs (`post`). Open by default."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._place, self._left = "", 0
        self._closed = self._dead = False
        self._waiting = self._active = 0

    def close_at(self, place: str, nth: int) -> None:
        """Close when the `nth` transaction or POST from now on is about to begin; from then on nothing passes."""
        with self._changed:
            self._place, self._left = place, nth

    @contextmanager
    def passing(self, place: str) -> Iterator[None]:
        """Go through, as soon as it is open."""
        with self._changed:
            if place == self._place and self._left:
                self._left -= 1
                self._closed = not self._left
            while self._closed:
                self._waiting += 1
                self._changed.notify_all()
                self._changed.wait(DEADLINE_S)
                self._waiting -= 1
            if self._dead:
                raise Killed
            self._active += 1
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def stands_still(self, over: Callable[[], bool]) -> bool:
        """Wait until nothing passes any more (True), or until `over` (False)."""
        with self._changed:
            still = self._changed.wait_for(lambda: over() or bool(self._waiting and not self._active), DEADLINE_S)
            assert still, "a process neither stopped nor ended"
        return not over()

    def check_again(self) -> None:
        """Make a caller of `stands_still` check `over` again."""
        with self._changed:
            self._changed.notify_all()

    def open(self, *, dead: bool = False) -> None:
        """Let everything pass again; `dead`: nothing ever again."""
        with self._changed:
            self._place, self._left = "", 0
            self._closed, self._dead = False, dead
            self._changed.notify_all()


class GatedLedger(Ledger):
    """A ledger whose transactions wait before a gate. What a caller read from its clock was read before."""

    def __init__(self, url: str, gate: Gate) -> None:
        super().__init__(url)
        self._gate = gate

    @contextmanager
    def write(self, *, now_ms: int, actor: str) -> Iterator[LedgerTransaction]:
        """As any ledger's, behind the gate."""
        with self._gate.passing("write"), super().write(now_ms=now_ms, actor=actor) as tx:
            yield tx


def gate_posts(provider: Any, gate: Gate) -> Any:
    """Have a provider's POSTs wait before the gate: marked as sending, and not sent."""
    post = provider.submit

    def submit(request: Any) -> Any:
        with gate.passing("post"):
            return post(request)

    provider.submit = submit
    return provider
