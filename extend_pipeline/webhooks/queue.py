"""Between the many connections and the one ledger: a bounded queue and a thread that works it off in batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.webhooks.counters import EVERY_S, Counters
from extend_pipeline.webhooks.ingest import IngestResult, WebhookRequest
from extend_pipeline.webhooks.limits import Limits

_OVERHEAD: Final = 1_024  # bytes that a letter takes beside its body

TakeIn = Callable[[Sequence[WebhookRequest]], list[IngestResult]]


@dataclass(eq=False)
class _Waiting:
    request: WebhookRequest
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class IngestQueue:
    """Takes letters in. `take_in` blocks and may raise anything; `tell` gets lines for the log."""

    def __init__(self, take_in: TakeIn, *, limits: Limits, counts: Counters, tell: Callable[[str], None]) -> None:
        self._take_in, self._limits, self._tally, self._tell = take_in, limits, counts, tell
        self._queue: deque[_Waiting] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closed = False
        # a daemon: one that waits for a locked ledger must not keep the process from ending
        self._thread = threading.Thread(target=self._work, name="callbacks", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self, within_s: float) -> None:
        """Finish what waits, for so long at most, and take nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(within_s)
        with self._changed:
            left, self._size = len(self._queue), 0
            self._queue.clear()
        if left:
            self._tally.count(IngestResult.DROPPED, left)
        self._report()

    async def hand_in(self, request: WebhookRequest) -> None:
        """Have a letter taken in, and wait for it `ledger_s` at most; it is taken in later then. Dropped where too much
        is waiting already."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop, loop.create_future())
        size = len(request.body) + _OVERHEAD
        with self._changed:
            if self._closed or self._size + size > self._limits.waiting:
                self._tally.count(IngestResult.DROPPED)
                return
            self._size += size
            self._queue.append(waiting)
            self._changed.notify()
        await asyncio.wait([waiting.done], timeout=self._limits.ledger_s)

    def _work(self) -> None:
        told = time.monotonic()
        while (batch := self._next()) is not None:
            if batch:
                self._take(batch)
            if time.monotonic() - told >= EVERY_S:
                told = time.monotonic()
                self._report()

    def _next(self) -> list[_Waiting] | None:
        """Return what waits now; nothing where nothing came for a while; None where all is done."""
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(EVERY_S)
            if not self._queue:
                return None if self._closed else []
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.batch))]
            self._size -= sum(len(one.request.body) + _OVERHEAD for one in batch)
            return batch

    def _take(self, batch: Sequence[_Waiting]) -> None:
        try:
            for outcome in self._take_in([one.request for one in batch]):
                self._tally.count(outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, senders hear 204 and the polls go on
            self._tally.count(IngestResult.LOST, len(batch))
            # the type alone: a database's words may repeat what was to be written
            self._tally.trouble(
                f"{len(batch)} callbacks could not be kept ({type(error).__name__}). Look at the ledger with "
                "extend-pipeline doctor; polls find out what became of tasks, only later"
            )
        for one in batch:
            try:
                one.loop.call_soon_threadsafe(_answer, one.done)
            except RuntimeError:
                continue  # its server has ended

    def _report(self) -> None:
        for line in self._tally.lines():
            self._tell(line)


def _answer(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
