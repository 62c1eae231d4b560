"""The bounded queue between many connections and one ledger, and the thread that stores its requests in batches."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.webhooks.counters import MIN_LOG_INTERVAL_S, Counters
from extend_pipeline.webhooks.ingest import IngestResult, WebhookRequest
from extend_pipeline.webhooks.limits import Limits

_OVERHEAD: Final = 1_024  # bytes that a request takes beside its body

Ingest = Callable[[Sequence[WebhookRequest]], list[IngestResult]]


@dataclass(eq=False)
class _Waiting:
    request: WebhookRequest
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class IngestQueue:
    """A queue of requests for `ingest`, which blocks and may raise any error. `log` takes one line."""

    def __init__(self, ingest: Ingest, *, limits: Limits, counts: Counters, log: Callable[[str], None]) -> None:
        self._ingest, self._limits, self._counts, self._log = ingest, limits, counts, log
        self._queue: deque[_Waiting] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closed = False
        # a daemon, because a thread that waits for a locked ledger must not keep the process from ending
        self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, within_s: float) -> None:
        """Refuse further requests and store the queued ones, for at most `within_s` seconds; drop the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(within_s)
        with self._changed:
            dropped, self._size = len(self._queue), 0
            self._queue.clear()
        if dropped:
            self._counts.count(IngestResult.DROPPED, dropped)
        self._report()

    async def enqueue(self, request: WebhookRequest) -> None:
        """Queue a request and wait until it is stored, for at most `ledger_wait_s`; it is stored later then. Drop it if
        the queue is full."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop, loop.create_future())
        size = len(request.body) + _OVERHEAD
        with self._changed:
            if self._closed or self._size + size > self._limits.max_queued:
                self._counts.count(IngestResult.DROPPED)
                return
            self._size += size
            self._queue.append(waiting)
            self._changed.notify()
        await asyncio.wait([waiting.done], timeout=self._limits.ledger_wait_s)

    def _run(self) -> None:
        reported_at = time.monotonic()
        while (batch := self._next_batch()) is not None:
            if batch:
                self._store(batch)
            if time.monotonic() - reported_at >= MIN_LOG_INTERVAL_S:
                reported_at = time.monotonic()
                self._report()

    def _next_batch(self) -> list[_Waiting] | None:
        """Return the next batch: empty if no request came in time for the next log line, None once the queue is closed
        and empty."""
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(MIN_LOG_INTERVAL_S)
            if not self._queue:
                return None if self._closed else []
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.batch_size))]
            self._size -= sum(len(waiting.request.body) + _OVERHEAD for waiting in batch)
            return batch

    def _store(self, batch: Sequence[_Waiting]) -> None:
        try:
            for result in self._ingest([waiting.request for waiting in batch]):
                self._counts.count(result)
        except Exception as error:  # noqa: BLE001 - after any error senders get 204 and polling goes on
            self._counts.count(IngestResult.LOST, len(batch))
            # only the type, because a database's message may repeat the values to be written
            self._counts.set_problem(
                f"{len(batch)} callbacks could not be kept ({type(error).__name__}). Look at the ledger with "
                "extend-pipeline doctor; polling reads the state of these tasks, only later"
            )
        for waiting in batch:
            try:
                waiting.loop.call_soon_threadsafe(_set_done, waiting.done)
            except RuntimeError:
                continue  # its server has ended

    def _report(self) -> None:
        for line in self._counts.take_lines():
            self._log(line)


def _set_done(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
