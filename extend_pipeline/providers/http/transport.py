"""An httpx transport over httpcore's connections and the sockets of sockets.py.

client.py builds the requests. Their `extensions` hold `deadline`, the exchange's Deadline, whose `sent` the first byte
sets, and `target`, the path and query exactly as they are sent.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx

from extend_pipeline.providers.http.guard import AddressPolicy, UrlParts
from extend_pipeline.providers.http.route import DIRECT, Route
from extend_pipeline.providers.http.sockets import Deadline, GuardedConnection, GuardedSocket

KEEPALIVE_S: Final = 15.0  # shorter than any common server's, so that a reused connection is rarely a dead one

# httpcore logs response headers at DEBUG, which may hold a signed URL
logging.getLogger("httpcore").setLevel(logging.WARNING)

_HTTPX_ERRORS: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (httpcore.TimeoutException, httpx.TimeoutException),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.ProtocolError, httpx.RemoteProtocolError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.NetworkError, httpx.NetworkError),
    (OSError, httpx.NetworkError),
)


class OriginTransport(httpx.BaseTransport):
    """Connections to one origin, regardless of the origin in a request. Safe to use from several threads.

    Keeps at most `max_idle` idle connections for later requests; with 0 every request has its own. `allowed` and
    `route` apply to every new connection. Raises httpx.TransportError, AddressRefused if an address of the origin is
    not allowed, and SettingRefused if its certificate or the proxy is refused.
    """

    def __init__(self, origin: UrlParts, *, allowed: AddressPolicy, route: Route = DIRECT, max_idle: int = 0) -> None:
        self._origin = origin
        self._allowed = allowed
        self._route = route
        self._max_idle = max_idle
        self._idle: list[PooledConnection] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the status and headers of its response. Closing the response returns the connection
        to the pool."""
        with ExitStack() as undo:
            pooled = self._take(request.extensions["deadline"])
            undo.callback(self._give_back, pooled)
            with _as_httpx_errors():
                response = pooled.connection.handle_request(_to_httpcore(self._origin, request))
            undo.callback(response.close)
            return httpx.Response(
                response.status,
                headers=response.headers,
                stream=_Body(response, undo.pop_all()),
                extensions=response.extensions,
            )

    def close(self) -> None:
        """Close the idle connections; a later request opens a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for pooled in idle:
            pooled.connection.close()

    def _take(self, deadline: Deadline) -> PooledConnection:
        while True:
            with self._lock:
                pooled = self._idle.pop() if self._idle else None
            if pooled is None:
                return _new_connection(
                    self._origin, GuardedConnection(deadline, self._origin.scheme, self._allowed, self._route)
                )
            if pooled.connection.is_idle() and not pooled.connection.has_expired():
                pooled.guarded.deadline = deadline
                return pooled
            pooled.connection.close()

    def _give_back(self, pooled: PooledConnection) -> None:
        with self._lock:
            # a connection that could not be opened reports both idle and closed
            reusable = pooled.connection.is_idle() and not pooled.connection.is_closed()
            if reusable and len(self._idle) < self._max_idle:
                self._idle.append(pooled)
                return
        pooled.connection.close()


@dataclass(frozen=True, slots=True)
class PooledConnection:
    """An httpcore connection and the GuardedConnection that opens its socket."""

    connection: httpcore.HTTPConnection
    guarded: GuardedConnection


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response, closing: ExitStack) -> None:
        self._response = response
        self._closing = closing

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx_errors():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._closing.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, guarded: GuardedConnection) -> None:
        self._guarded = guarded

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        with _as_httpcore_errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(self._guarded.open(host, port, timeout))


class _Stream(httpcore.NetworkStream):
    def __init__(self, sock: GuardedSocket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_httpcore_errors(httpcore.ReadTimeout, httpcore.ReadError):
            return self._sock.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as_httpcore_errors(httpcore.WriteTimeout, httpcore.WriteError):
            self._sock.write(buffer, timeout)

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002 - the route decides which certificates are trusted
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        assert server_hostname is not None
        with _as_httpcore_errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(self._sock.start_tls(server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._sock.readable() if info == "is_readable" else None


_NO_CONTEXT: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Required by httpcore for https and passed to `start_tls`; without any root certificates, so that it is cheap."""


def _new_connection(origin: UrlParts, guarded: GuardedConnection) -> PooledConnection:
    connection = httpcore.HTTPConnection(
        httpcore.Origin(origin.scheme.encode(), origin.host.encode(), origin.port),
        ssl_context=_NO_CONTEXT if origin.scheme == "https" else None,
        keepalive_expiry=KEEPALIVE_S,
        network_backend=_Backend(guarded),
    )
    return PooledConnection(connection, guarded)


def _to_httpcore(origin: UrlParts, request: httpx.Request) -> httpcore.Request:
    return httpcore.Request(
        request.method,
        httpcore.URL(
            scheme=origin.scheme.encode(),
            host=origin.host.encode(),
            port=origin.port,
            target=request.extensions["target"],
        ),
        headers=request.headers.raw,
        content=request.read(),
        extensions={"timeout": request.extensions["timeout"]},
    )


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    """Turn errors of httpcore and the operating system into those of httpx."""
    try:
        yield
    except tuple(caught for caught, _ in _HTTPX_ERRORS) as error:
        raised = next(raised for caught, raised in _HTTPX_ERRORS if isinstance(error, caught))
        raise raised(str(error) or type(error).__name__) from error


@contextmanager
def _as_httpcore_errors(on_timeout: type[Exception], on_error: type[Exception]) -> Iterator[None]:
    """Turn errors of the operating system into those of httpcore."""
    try:
        yield
    except TimeoutError as error:
        raise on_timeout(str(error)) from error
    except OSError as error:
        raise on_error(str(error)) from error
