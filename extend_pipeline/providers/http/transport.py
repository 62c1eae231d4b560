"""How httpx reaches the network here: a transport over httpcore's connections and the sockets of sockets.py.

http.py builds the requests. A request brings what belongs to its exchange in `extensions`: `call`, the Call whose
deadline holds and whose `sent` is set by the first byte, and `target`, path and query exactly as they go out.
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

# At INFO httpx logs URLs, at DEBUG httpcore logs the headers of answers: a redirect's may hold a signed URL.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_IN_HTTPX: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (httpcore.TimeoutException, httpx.TimeoutException),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.ProtocolError, httpx.RemoteProtocolError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.NetworkError, httpx.NetworkError),
    (OSError, httpx.NetworkError),
)


class OriginTransport(httpx.BaseTransport):
    """The way to one origin, whatever origin a request names. Safe to use from several threads.

    At most `kept` idle connections wait for later requests; with 0 every request has a connection of its own. `reach`
    and `route` hold for every new connection. Raises httpx.TransportError, AddressRefused where the origin is out of
    reach, and CertificateRefused where who answers doesn't count as it.
    """

    def __init__(self, origin: UrlParts, *, reach: AddressPolicy, route: Route = DIRECT, kept: int = 0) -> None:
        self._origin = origin
        self._reach = reach
        self._route = route
        self._kept = kept
        self._idle: list[PooledConnection] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of its answer. Closing the answer gives the connection back."""
        with ExitStack() as undo:
            wire = self._take(request.extensions["call"])
            undo.callback(self._give_back, wire)
            with _in_httpx_words():
                response = wire.connection.handle_request(_in_httpcore_words(self._origin, request))
            undo.callback(response.close)
            return _Answer(
                response.status,
                headers=response.headers,
                stream=_Body(response, undo.pop_all()),
                extensions=response.extensions,
            )

    def close(self) -> None:
        """Close the idle connections. Later requests open new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for wire in idle:
            wire.connection.close()

    def _take(self, call: Deadline) -> PooledConnection:
        while True:
            with self._lock:
                wire = self._idle.pop() if self._idle else None
            if wire is None:
                return _wire(self._origin, GuardedConnection(call, self._origin.scheme, self._reach, self._route))
            if wire.connection.is_idle() and not wire.connection.has_expired():
                wire.line.call = call
                return wire
            wire.connection.close()

    def _give_back(self, wire: PooledConnection) -> None:
        with self._lock:
            # a connection that could not be made says of itself that it is idle, and closed as well
            reusable = wire.connection.is_idle() and not wire.connection.is_closed()
            if reusable and len(self._idle) < self._kept:
                self._idle.append(wire)
                return
        wire.connection.close()


@dataclass(frozen=True, slots=True)
class PooledConnection:
    connection: httpcore.HTTPConnection
    line: GuardedConnection


class _Answer(httpx.Response):
    @property
    def has_redirect_location(self) -> bool:
        """Never: httpx parses the location of a redirect even if it is not to follow it, and one that it can't read
        would turn the answer into an error."""
        return False


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response, closing: ExitStack) -> None:
        self._response = response
        self._closing = closing

    def __iter__(self) -> Iterator[bytes]:
        with _in_httpx_words():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._closing.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, line: GuardedConnection) -> None:
        self._line = line

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        with _raising(httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(self._line.open(host, port, timeout))


class _Stream(httpcore.NetworkStream):
    def __init__(self, sock: GuardedSocket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _raising(httpcore.ReadTimeout, httpcore.ReadError):
            return self._sock.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _raising(httpcore.WriteTimeout, httpcore.WriteError):
            self._sock.write(buffer, timeout)

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002 - whose certificates count is the route's matter
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        assert server_hostname is not None
        with _raising(httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(self._sock.secured(server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._sock.readable() if info == "is_readable" else None


_NO_CONTEXT: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""httpcore wants one for https, to hand it to `start_tls`; made without any roots, so that it costs nothing."""


def _wire(origin: UrlParts, line: GuardedConnection) -> PooledConnection:
    connection = httpcore.HTTPConnection(
        httpcore.Origin(origin.scheme.encode(), origin.host.encode(), origin.port),
        ssl_context=_NO_CONTEXT if origin.scheme == "https" else None,
        keepalive_expiry=KEEPALIVE_S,
        network_backend=_Backend(line),
    )
    return PooledConnection(connection, line)


def _in_httpcore_words(origin: UrlParts, request: httpx.Request) -> httpcore.Request:
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
def _in_httpx_words() -> Iterator[None]:
    """Errors of httpcore, and of the operating system, as httpx's."""
    try:
        yield
    except tuple(known for known, _ in _IN_HTTPX) as error:
        name = next(name for known, name in _IN_HTTPX if isinstance(error, known))
        raise name(str(error) or type(error).__name__) from error


@contextmanager
def _raising(on_timeout: type[Exception], on_error: type[Exception]) -> Iterator[None]:
    """Errors of the operating system as httpcore's."""
    try:
        yield
    except TimeoutError as error:
        raise on_timeout(str(error)) from error
    except OSError as error:
        raise on_error(str(error)) from error
