"""Lease due attempts: only the worker that holds the lease polls the task or fetches the result, and decides about it.
An error releases the lease."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from extend_pipeline.engine.polling import schedule
from extend_pipeline.ledger.clock import lease_runs
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.write.hints import job_queue

if TYPE_CHECKING:  # a Pipeline has a renewer, which calls `renew_all`
    from extend_pipeline.engine.home import Pipeline


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

    A fetch may take far longer than a lease. Without renewal a second process would fetch the same result, find its
    URL expired, and record `result_lost` for a file that the first process is about to store. The lease is short,
    because the results of a process that was killed wait for its end.
    """

    def __init__(self, pipeline: Pipeline, attempt_id: str, *, leased_at: int) -> None:
        self.attempt_id = attempt_id
        self._pipeline = pipeline
        self._lease_ms = schedule.fetch_lease_ms(pipeline.settings)
        self._until = leased_at + self._lease_ms
        self._lock = threading.Lock()

    def renew(self) -> bool:
        """Renew the lease if no other thread has renewed it and half of it is over, as after a pause of the process.
        Return False where another process leases the attempt by now."""
        with self._lock:
            now_ms = self._pipeline.now_ms()
            if lease_runs(self._until - self._lease_ms, self._until - self._lease_ms // 2, now_ms):
                return True
            with self._pipeline.ledger.write(now_ms=now_ms, actor=self._pipeline.owner) as tx:
                is_valid = self.is_valid(tx)
            if is_valid:
                self.was_renewed(now_ms)
            return is_valid

    def is_valid(self, tx: LedgerTransaction) -> bool:
        """Renew the lease in a transaction. Return False where another process leases the attempt by now."""
        until = tx.now_ms + self._lease_ms
        return job_queue.extend_lease(tx, self.attempt_id, owner=self._pipeline.owner, until=until)

    def was_renewed(self, now_ms: int) -> None:
        """Note that the ledger has the lease from `now_ms` on (UTC ms)."""
        self._until = now_ms + self._lease_ms


def renew_all(pipeline: Pipeline, leases: Collection[FetchLease]) -> None:
    """Renew those of the leases that this process still has, in one transaction."""
    now_ms = pipeline.now_ms()
    until = now_ms + schedule.fetch_lease_ms(pipeline.settings)
    attempt_ids = {lease.attempt_id for lease in leases}
    with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
        extended = job_queue.extend_leases(tx, attempt_ids, owner=pipeline.owner, until=until)
    for lease in leases:
        if lease.attempt_id in extended:
            lease.was_renewed(now_ms)
