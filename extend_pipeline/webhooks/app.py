"""The receiver as an ASGI application. Whatever is sent to it, by whom and where, the answer is the same 204."""

from __future__ import annotations

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

CLOSING_S: Final = 5.0  # for what waits when the receiver is stopped

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)  # what an address may end with; `fresh_token` makes 43


def build_app(
    pipeline: Pipeline,
    *,
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    counts: Counters | None = None,
) -> Starlette:
    """Return the receiver of a home's callbacks. `environment` holds the signing secrets (by default the process's
    own), `tell` gets lines for the log, `tally` counts."""
    limits, counts = limits or Limits(), counts or Counters()

    def work(requests: Sequence[WebhookRequest]) -> list[IngestResult]:
        pipeline.refresh()
        if pipeline.configuration.problems:
            counts.trouble("accounts.yaml or the catalogue is wrong; callbacks go by the last accounts that were good")
        try:
            return ingest(pipeline, requests, environment)
        except NotOpenError as error:
            counts.trouble(f"callbacks can't be kept: {error}")
            raise

    ingest_queue = IngestQueue(work, limits=limits, counts=counts, tell=tell)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ingest_queue.start()
        try:
            yield
        finally:
            await asyncio.to_thread(ingest_queue.close, CLOSING_S)

    app = Starlette(lifespan=lifespan)
    # not a route: routes know paths and methods that they refuse, and say so
    app.router.default = Receiver(ingest_queue, limits)
    return app


class Receiver:
    """Reads a request within bounds, hands it in, and answers 204: always, and never sooner than `answer_s`."""

    def __init__(self, ingest_queue: IngestQueue, limits: Limits) -> None:
        self._desk, self._limits = ingest_queue, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        began = time.monotonic()
        body = await self._read(receive)
        token = scope["path"].rpartition("/")[2]
        if body is not None and scope["method"] == "POST" and _TOKEN.fullmatch(token):
            await self._desk.hand_in(WebhookRequest(token, body, _signature_headers(scope["headers"])))
        await asyncio.sleep(max(0.0, self._limits.answer_s - (time.monotonic() - began)))
        # one request a connection: whoever wants to hold one open has to send something
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body as it was sent, or None: it was too long, too slow, or its sender left."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                while size <= self._limits.drained:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    part = message.get("body", b"")
                    size += len(part)
                    if size <= self._limits.body:
                        parts.append(part)
                    else:
                        parts.clear()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            return None
        return b"".join(parts) if size <= self._limits.body else None


def _signature_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a signature; one that comes twice is none, since nobody can tell which was meant."""
    found = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    counts = Counter(name for name, _ in found)
    return {name: value for name, value in found if name in HEADERS and counts[name] == 1}
