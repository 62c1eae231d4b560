"""Notifications to `callback_url`: best effort, one try each, in the background, and never more than a bound."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import http.client
import itertools
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from extend_pipeline.sandbox.clock import Clock

# More than any test has in flight; a client that never responds must not fill the memory.
_QUEUE_LIMIT = 20_000
_WORKERS = 4
_TIMEOUT_S = 5.0

BodyMaker = Callable[[], dict[str, object]]


class Callbacks:
    """Sends each notice when the sandbox's clock reaches it."""

    def __init__(self, clock: Clock, webhook_secret: str | None) -> None:
        """`webhook_secret` (`whsec_…`) turns Standard Webhooks signatures on."""
        self._clock, self._secret = clock, webhook_secret
        self._queue: list[tuple[int, int, str, Sequence[BodyMaker]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._counts: Counter[str] = Counter(delivered=0, failed=0, dropped=0, withheld=0)
        self._workers: list[threading.Thread] = []

    def schedule(self, at_ms: int, url: str, make_bodies: Sequence[BodyMaker]) -> None:
        """Have the bodies posted to `url` from that time on, one after the other; dropped and counted if the queue is
        full."""
        with self._changed:
            if len(self._queue) >= _QUEUE_LIMIT:
                self._counts["dropped"] += len(make_bodies)
                return
            heapq.heappush(self._queue, (at_ms, next(self._numbers), url, make_bodies))
            if not self._workers and not self._closed:
                self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(_WORKERS)]
                for worker in self._workers:
                    worker.start()
            self._changed.notify()

    def withhold(self, count: int) -> None:
        """Count notices that an order keeps back."""
        with self._changed:
            self._counts["withheld"] += count

    def clock_moved(self) -> None:
        """Look again at what is due."""
        with self._changed:
            self._changed.notify_all()

    def describe(self) -> dict[str, int]:
        """Return how many were delivered (2xx), failed, dropped and withheld by order, and how many wait."""
        with self._changed:
            return {**self._counts, "waiting": sum(len(make_bodies) for _, _, _, make_bodies in self._queue)}

    def close(self) -> None:
        """Send no more; a post under way may take until its time-out and is not waited for that long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join(timeout=1.0)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            url, make_bodies = job
            for make_body in make_bodies:
                outcome = "delivered" if self._post(url, make_body()) else "failed"
                with self._changed:
                    self._counts[outcome] += 1

    def _next(self) -> tuple[str, Sequence[BodyMaker]] | None:
        with self._changed:
            while not self._closed:
                wait_s = (self._queue[0][0] - self._clock.now_ms()) / 1000 if self._queue else None
                if wait_s is not None and wait_s <= 0:
                    _, _, url, make_bodies = heapq.heappop(self._queue)
                    return url, make_bodies
                self._changed.wait(wait_s)
            return None

    def _post(self, url: str, body: dict[str, object]) -> bool:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        data = json.dumps(body).encode()
        try:
            connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        except (ValueError, http.client.InvalidURL):
            return False
        try:
            connection.request("POST", target, data, {"Content-Type": "application/json", **self._signed(data)})
            return 200 <= connection.getresponse().status < 300
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _signed(self, data: bytes) -> dict[str, str]:
        if self._secret is None:
            return {}
        message_id, timestamp = f"msg_{uuid.uuid4().hex}", str(int(self._clock.real_s()))
        signature = webhook_signature(self._secret, message_id, timestamp, data)
        return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def webhook_signature(secret: str, message_id: str, timestamp: str, data: bytes) -> str:
    """Return the Standard Webhooks signature `v1,<base64>` of a message under a `whsec_<base64>` secret."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + data, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
