"""The receiver on a port: uvicorn, with limits on connections that uvicorn lacks."""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.webhooks.app import SHUTDOWN_S, build_app
from extend_pipeline.webhooks.counters import Counters
from extend_pipeline.webhooks.limits import Limits

_RESPONSE: Final = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
_BACKLOG: Final = 512  # connections that the kernel holds until they are accepted
_MAX_HEAD: Final = 16_384  # bytes of a request's line and headers; a signed callback's are under 1,000


class ReceiverError(RuntimeError):
    """The receiver can't listen at the address; the message names the reason."""


class Server(uvicorn.Server):
    """uvicorn with a callback, `on_ready`, for when it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        self._on_ready()


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one. Raises ReceiverError."""
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
    log: Callable[[str], None] = lambda _: None,
    counts: Counters | None = None,
) -> Server:
    """Return the receiver, ready to `run(sockets=[…])`. Its own log is off, because paths hold tokens."""
    limits = limits or Limits()
    config = uvicorn.Config(
        build_app(pipeline, limits=limits, environment=environment, log=log, counts=counts),
        http=limited_protocol(limits),
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
        timeout_graceful_shutdown=int(SHUTDOWN_S),
    )
    return Server(config, on_ready)


def limited_protocol(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's connection class with a time-out and a limit on their number; it returns 204 even to invalid
    HTTP."""

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
            super().connection_made(transport)
            self._timeout = self.loop.call_later(limits.connection_timeout_s, self._respond_and_close)
            if len(self.connections) > limits.max_connections:
                self._respond_and_close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._timeout.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if not self.transport.is_closing():
                super().data_received(data)

        def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio asks whether to stay open
            cycle: Any = self.cycle
            if cycle is not None and not cycle.more_body and not cycle.response_complete:
                return True  # the sender has finished its request and waits for the response
            self._respond_and_close()
            return None

        def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the sender does not learn the reason
            self._respond_and_close()

        def _respond_and_close(self) -> None:
            if self.transport.is_closing():
                return
            cycle: Any = self.cycle
            if cycle is None or not cycle.response_started:
                self.transport.write(_RESPONSE)
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()
            self.transport.close()

    return Connection
