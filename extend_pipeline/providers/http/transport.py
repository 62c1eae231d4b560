"""Connections to one origin: httpcore's, over the sockets of sockets.py. client.py builds the requests."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from extend_pipeline.providers.http.guard import AddressPolicy, UrlParts
from extend_pipeline.providers.http.route import DIRECT, Route
from extend_pipeline.providers.http.sockets import Deadline, GuardedConnection, GuardedSocket

KEEPALIVE_S: Final = 15.0  # shorter than any common server's, so that a reused connection is rarely a dead one

# httpcore logs response headers at DEBUG, which may hold a signed URL
logging.getLogger("httpcore").setLevel(logging.WARNING)

LocalProtocolError = httpcore.LocalProtocolError
"""A request that must not be sent as it is."""

TRANSPORT_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.NetworkError,
    OSError,
)
"""What ends an exchange that has begun, and what keeps one from beginning."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent: `target` is the path and the query. The waits (s) end with the exchange's `deadline`
    too, whose `sent` the first byte sets."""

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    content: bytes
    timeouts: Mapping[str, float | None]
    deadline: Deadline


class Response:
    """A response whose body is read while `closing`, which returns its connection to the pool."""

    def __init__(self, response: httpcore.Response, undo: ExitStack) -> None:
        self._response = response
        self._undo = undo
        self.status = response.status

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers, with names in lower case and repeated ones joined by commas."""
        joined: dict[str, str] = {}
        for name, value in self._response.headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            joined[key] = f"{joined[key]}, {text}" if key in joined else text
        return joined

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes, without decoding it. Raises TRANSPORT_ERRORS."""
        yield from self._response.iter_stream()

    def close(self) -> None:
        """Return the connection to the pool."""
        self._undo.close()


class OriginTransport:
    """Connections to one origin. Safe to use from several threads.

    Keeps at most `max_idle` idle connections for later requests; with 0 every request has its own. `allowed` and
    `route` apply to every new connection. Raises TRANSPORT_ERRORS, AddressRefused if an address of the origin is not
    allowed, and SettingRefused if its certificate or the proxy is refused.
    """

    def __init__(self, origin: UrlParts, *, allowed: AddressPolicy, route: Route = DIRECT, max_idle: int = 0) -> None:
        self._origin = origin
        self._allowed = allowed
        self._route = route
        self._max_idle = max_idle
        self._idle: list[PooledConnection] = []
        self._lock = threading.Lock()

    def send(self, request: Request) -> Response:
        """Send a request and read the status and headers of its response."""
        with ExitStack() as undo:
            pooled = self._take(request.deadline)
            undo.callback(self._give_back, pooled)
            response = pooled.connection.handle_request(_to_httpcore(self._origin, request))
            undo.callback(response.close)
            return Response(response, undo.pop_all())

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


def _to_httpcore(origin: UrlParts, request: Request) -> httpcore.Request:
    return httpcore.Request(
        request.method,
        httpcore.URL(
            scheme=origin.scheme.encode(),
            host=origin.host.encode(),
            port=origin.port,
            target=request.target,
        ),
        headers=request.headers,
        content=request.content,
        extensions={"timeout": request.timeouts},
    )


@contextmanager
def _as_httpcore_errors(on_timeout: type[Exception], on_error: type[Exception]) -> Iterator[None]:
    """Turn errors of the operating system into those of httpcore."""
    try:
        yield
    except TimeoutError as error:
        raise on_timeout(str(error)) from error
    except OSError as error:
        raise on_error(str(error)) from error
