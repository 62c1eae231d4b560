"""Who fetches a result: its holder, for as long as the fetch lasts, and nobody else gives a verdict on it."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Row

from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.ledger import due
from extend_pipeline.ledger.events import Writer


class Hold:
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
            if now_ms < self._until - self._lease_ms // 2:
                return True
            with self._pipeline.ledger.write(now_ms=now_ms, actor=self._pipeline.owner) as tx:
                held = self.held(tx)
            if held:
                self._until = now_ms + self._lease_ms
            return held

    def held(self, tx: Writer) -> bool:
        """Renew the hold in a transaction. False where another process has taken the attempt meanwhile."""
        until = tx.now_ms + self._lease_ms
        return due.hold(tx, self._attempt_id, owner=self._pipeline.owner, until=until)
