"""Lease due attempts: only the worker that holds the lease polls the task or fetches the result, and decides about it.
An error releases the lease."""

import contextlib
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.ledger.clock import lease_runs
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.write.hints import job_queue


@contextmanager
def released_on_error(pipeline: Pipeline, attempt_ids: Collection[str]) -> Iterator[None]:
    """Release the leases that are still held when an error or an interruption ends the block. Only after a kill they
    last until they expire."""
    try:
        yield
    except BaseException:
        release_leases(pipeline, attempt_ids)
        raise


def release_leases(pipeline: Pipeline, attempt_ids: Collection[str]) -> None:
    """Make due now those of the attempts that this process still leases. Where the ledger can't be written, the leases
    expire instead."""
    if not attempt_ids:
        return
    with contextlib.suppress(Exception), pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        job_queue.release(tx, attempt_ids, owner=pipeline.owner)


class FetchLease:
    """This process's lease on an attempt whose result it fetches.

    A download may take far longer than a lease. Without renewal a second process would fetch the same result, find its
    URL expired, and record `result_lost` for a file that the first process is about to store.
    """

    def __init__(self, pipeline: Pipeline, attempt_id: str, *, leased_at: int) -> None:
        self._pipeline, self._attempt_id = pipeline, attempt_id
        self._lease_ms = schedule.fetch_lease_ms(pipeline.settings)
        self._until = leased_at + self._lease_ms
        self._lock = threading.Lock()

    def renew(self) -> bool:
        """Renew the lease once half of it is over. Return False where another process leases the attempt by now."""
        with self._lock:
            now_ms = self._pipeline.now_ms()
            if lease_runs(self._until - self._lease_ms, self._until - self._lease_ms // 2, now_ms):
                return True
            with self._pipeline.ledger.write(now_ms=now_ms, actor=self._pipeline.owner) as tx:
                is_valid = self.is_valid(tx)
            if is_valid:
                self._until = now_ms + self._lease_ms
            return is_valid

    def is_valid(self, tx: LedgerTransaction) -> bool:
        """Renew the lease in a transaction. Return False where another process leases the attempt by now."""
        until = tx.now_ms + self._lease_ms
        return job_queue.extend_lease(tx, self._attempt_id, owner=self._pipeline.owner, until=until)
