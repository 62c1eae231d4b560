"""The receiver on a port: uvicorn, with bounds on connections that it doesn't have itself."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.webhooks.app import CLOSING_S, build_app
from extend_pipeline.webhooks.counters import Counters
from extend_pipeline.webhooks.limits import Limits

_ANSWER: Final = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
_BACKLOG: Final = 512  # connections that the kernel holds until they are accepted
_MAX_HEAD: Final = 16_384  # bytes of a request's line and headers; a signed callback's are under 1,000


class ReceiverError(RuntimeError):
    """The receiver can't listen where it was told to."""


class Server(uvicorn.Server):
    """uvicorn, which says when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        self._on_ready()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening address; port 0 takes a free one. Raises ReceiverError with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ReceiverError(f"port {port} on {host} is in use by another program; choose another --port") from error
        raise ReceiverError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def build_server(
    pipeline: Pipeline,
    *,
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    on_ready: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda _: None,
    counts: Counters | None = None,
) -> Server:
    """Return the receiver, ready to `run(sockets=[…])`. Its own log is off: paths hold tokens."""
    bounds = limits or Limits()
    config = uvicorn.Config(
        build_app(pipeline, limits=bounds, environment=environment, tell=tell, counts=counts),
        http=bounded(bounds),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        h11_max_incomplete_event_size=_MAX_HEAD,
        timeout_graceful_shutdown=int(CLOSING_S),
    )
    return Server(config, on_ready)


def bounded(limits: Limits) -> type[H11Protocol]:
    """uvicorn's connection with an end, a bound on how many there are, and 204 also for what is no HTTP."""

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
            super().connection_made(transport)
            self._end = self.loop.call_later(limits.connection_s, self._answer_and_close)
            if len(self.connections) > limits.connections:
                self._answer_and_close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if not self.transport.is_closing():
                super().data_received(data)

        def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio asks whether to stay open
            cycle: Any = self.cycle
            if cycle is not None and not cycle.more_body and not cycle.response_complete:
                return True  # it has said all, and listens
            self._answer_and_close()
            return None

        def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - what was wrong is nobody's to know
            self._answer_and_close()

        def _answer_and_close(self) -> None:
            if self.transport.is_closing():
                return
            cycle: Any = self.cycle
            if cycle is None or not cycle.response_started:
                self.transport.write(_ANSWER)
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()
            self.transport.close()

    return Connection
