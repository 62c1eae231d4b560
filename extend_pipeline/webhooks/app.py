"""The receiver as an ASGI application. Every request gets the same response, 204."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.database import NotOpenError
from extend_pipeline.webhooks.counters import Counters
from extend_pipeline.webhooks.ingest import IngestResult, WebhookRequest, ingest
from extend_pipeline.webhooks.limits import Limits
from extend_pipeline.webhooks.queue import IngestQueue
from extend_pipeline.webhooks.signature import HEADERS

SHUTDOWN_S: Final = 5.0  # for the queued requests when the receiver is stopped

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)  # the end of an address; `fresh_token` makes 43


def build_app(
    pipeline: Pipeline,
    *,
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    log: Callable[[str], None] = lambda _: None,
    counts: Counters | None = None,
) -> Starlette:
    """Return the receiver of a home's callbacks. `environment` holds the signing secrets (the process's own by
    default), and `log` takes one line."""
    limits, counts = limits or Limits(), counts or Counters()

    def ingest_requests(requests: Sequence[WebhookRequest]) -> list[IngestResult]:
        pipeline.refresh()
        if pipeline.configuration.problems:
            counts.set_problem(
                "accounts.yaml or the catalogue is wrong; callbacks are checked with the last valid accounts"
            )
        try:
            return ingest(pipeline, requests, environment)
        except NotOpenError as error:
            counts.set_problem(f"callbacks can't be kept: {error}")
            raise

    ingest_queue = IngestQueue(ingest_requests, limits=limits, counts=counts, log=log)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ingest_queue.start()
        try:
            yield
        finally:
            await asyncio.to_thread(ingest_queue.close, SHUTDOWN_S)

    app = Starlette(lifespan=lifespan)
    # not a route, because a router returns 404 and 405 for other paths and methods
    app.router.default = Receiver(ingest_queue, limits)
    return app


class Receiver:
    """The application: reads a request within the limits, queues it, returns 204 after `min_response_s` or later."""

    def __init__(self, ingest_queue: IngestQueue, limits: Limits) -> None:
        self._ingest_queue, self._limits = ingest_queue, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        started = time.monotonic()
        body = await self._read(receive)
        token = scope["path"].rpartition("/")[2]
        if body is not None and scope["method"] == "POST" and _TOKEN.fullmatch(token):
            await self._ingest_queue.enqueue(WebhookRequest(token, body, _signature_headers(scope["headers"])))
        await asyncio.sleep(max(0.0, self._limits.min_response_s - (time.monotonic() - started)))
        # one request per connection, so that no sender holds an idle one open
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body as it was sent; None if it was too long or too slow, or if its sender disconnected."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                while size <= self._limits.max_drained:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    part = message.get("body", b"")
                    size += len(part)
                    if size <= self._limits.max_body:
                        parts.append(part)
                    else:
                        parts.clear()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            return None
        return b"".join(parts) if size <= self._limits.max_body else None


def _signature_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a signature, without those that come twice, because either value could be the right one."""
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if name in HEADERS and counts[name] == 1}
