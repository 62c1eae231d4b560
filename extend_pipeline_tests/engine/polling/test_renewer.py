"""The renewer renews what all threads of a process hold together, and nothing once they hold nothing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection

from extend_pipeline.engine.polling.renewer import Renewer

DEADLINE_S = 30


def test_all_that_is_held_is_renewed_together_until_it_is_let_go() -> None:
    renewed: queue.Queue[frozenset[str]] = queue.Queue()

    def renew(leases: Collection[str]) -> None:
        renewed.put(frozenset(leases))
        raise OSError("the ledger can't be written now")  # is no failure of the work

    def until(expected: set[str]) -> None:
        """Wait until exactly these leases are renewed."""
        while renewed.get(timeout=DEADLINE_S) != expected:
            pass

    renewer = Renewer(lease_s=0.03, renew=renew)
    with renewer.holding(["one"]):
        until({"one"})
        with renewer.holding(["two"]):
            until({"one", "two"})
        until({"one"})
    renewer.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "renew" and thread.is_alive()]
    with renewer.holding(["three"]):  # it begins again
        until({"three"})
    renewer.close()
