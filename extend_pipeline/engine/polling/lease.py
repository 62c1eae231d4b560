"""Who looks at a task or fetches a result: its holder, for as long as that lasts, and nobody else decides about it.
What a holder leaves without a word is given back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Row

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.clock import lease_runs
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.write import job_queue


@contextmanager
def released_on_error(pipeline: Pipeline, rows: Sequence[Row[Any]]) -> Iterator[None]:
    """Give the rows that `take_due` gave, and that nothing was written down of, back on every end that is an error or
    an interruption. Only a kill leaves them held until their time is up."""
    try:
        yield
    except BaseException:
        release_leases(pipeline, rows)
        raise


def release_leases(pipeline: Pipeline, rows: Sequence[Row[Any]]) -> None:
    """Make due now what of the rows this process still holds. Where the ledger can't be written, the hold's end does
    it."""
    with contextlib.suppress(Exception), pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        job_queue.release(tx, [row.attempt_id for row in rows], owner=pipeline.owner)


class Lease:
    """A due attempt that this process has taken, for a lease at a time.

    A download may take far longer than a lease. Without renewing, a second process would fetch the same result beside
    the first, find its URL ended, and say `result_lost` of a file that the first one is about to store.
    """

    def __init__(self, pipeline: Pipeline, row: Row[Any], *, taken_at: int) -> None:
        self._pipeline, self._attempt_id = pipeline, row.attempt_id
        self._lease_ms = int(pipeline.settings.lease_s * 1000)
        self._until = taken_at + self._lease_ms
        self._lock = threading.Lock()

    def keep(self) -> bool:
        """Renew the hold once half of it is over. False where another process has taken the attempt meanwhile."""
        with self._lock:
            now_ms = self._pipeline.now_ms()
            if lease_runs(self._until - self._lease_ms, self._until - self._lease_ms // 2, now_ms):
                return True
            with self._pipeline.ledger.write(now_ms=now_ms, actor=self._pipeline.owner) as tx:
                held = self.held(tx)
            if held:
                self._until = now_ms + self._lease_ms
            return held

    def held(self, tx: LedgerTransaction) -> bool:
        """Renew the hold in a transaction. False where another process has taken the attempt meanwhile."""
        until = tx.now_ms + self._lease_ms
        return job_queue.extend_lease(tx, self._attempt_id, owner=self._pipeline.owner, until=until)
