"""Renew what a process holds from one thread, which runs while anything is held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

RENEWALS_A_LEASE: Final = 3  # so that a renewal which fails or waits for its turn leaves time for another


class Renewer:
    """The leases that the threads of a process hold. One thread calls `renew` with all of them together, three times a
    lease of `lease_s` seconds, so that neither a host that sends nothing, nor the examination of a film, nor a turn
    that is waited for lets one expire. A killed or stopped process renews nothing."""

    def __init__(self, *, lease_s: float, renew: Callable[[Collection[Any]], None]) -> None:
        self._gap_s = lease_s / RENEWALS_A_LEASE
        self._renew = renew
        self._changed = threading.Condition()
        self._held: set[Any] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, leases: Collection[Any]) -> Iterator[None]:
        """Renew these leases until the block ends. An error of `renew` is no failure of the work: another call follows
        before the leases end, and their holder asks the ledger then."""
        try:
            with self._changed:
                self._held.update(leases)
                if self._thread is None and self._held:
                    thread = threading.Thread(target=self._run, name="renew", daemon=True)
                    thread.start()
                    self._thread = thread
            yield
        finally:
            self._drop(leases)

    def close(self) -> None:
        """End the thread, because the ledger is closed next."""
        self._drop(tuple(self._held))
        thread = self._thread
        if thread is not None:
            thread.join()

    def _drop(self, leases: Collection[Any]) -> None:
        with self._changed:
            self._held.difference_update(leases)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._held, timeout=self._gap_s)
                if not self._held:
                    self._thread = None
                    return
                held = tuple(self._held)
            with suppress(Exception):  # a ledger that can't be written now; where it lasts, the leases expire
                self._renew(held)
