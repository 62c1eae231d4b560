"""Connections to one origin: httpcore's, over sockets with a deadline that sockets.py opens."""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import httpcore

from extend_pipeline.base.version import program_version
from extend_pipeline.providers.http.guard import AddressPolicy, AddressRefused, UrlParts
from extend_pipeline.providers.http.results import SettingRefused
from extend_pipeline.providers.http.route import DIRECT, Route
from extend_pipeline.providers.http.sockets import Deadline, GuardedConnection
from extend_pipeline.providers.http.trust import wrap_tls

KEEPALIVE_S: Final = 15.0  # shorter than any common server's, so that a reused connection is rarely a dead one

REFUSALS: Final = (AddressRefused, SettingRefused, httpcore.LocalProtocolError)
"""Errors of this program's own refusals, which a repeat doesn't change."""
TRANSPORT_ERRORS: Final = (
    *REFUSALS,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.NetworkError,
    OSError,
)
"""Every error of an exchange. The type doesn't decide whether anything was sent: `Deadline.sent` does."""

# httpcore logs response headers at DEBUG; they may hold a signed URL
logging.getLogger("httpcore").setLevel(logging.WARNING)


class OriginPool:
    """Connections to one origin. Safe to use from several threads.

    Keeps at most `max_idle` idle connections for later requests; with 0 every request has its own. `allowed` and
    `route` apply to every new connection.
    """

    def __init__(self, origin: UrlParts, *, allowed: AddressPolicy, route: Route = DIRECT, max_idle: int = 0) -> None:
        self._origin = origin
        self._allowed = allowed
        self._route = route
        self._max_idle = max_idle
        self._idle: list[PooledConnection] = []
        self._lock = threading.Lock()

    @contextmanager
    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        content: bytes = b"",
        timeouts: Mapping[str, float],
        deadline: Deadline,
    ) -> Iterator[httpcore.Response]:
        """Send a request with these headers beside host, user agent and encoding; yield the response, whose body is
        read inside the `with`. `target` (path and query) is sent unchanged; nothing is followed or repeated. `timeouts`
        are the seconds of single waits: `connect`, `read`, `write`.

        Raises TRANSPORT_ERRORS, and ValueError for a header with characters beyond ASCII."""
        common = {
            "host": self._origin.authority,
            "user-agent": f"extend-pipeline/{program_version()}",
            "accept-encoding": "identity",
        }
        try:
            lines = [(name.encode("ascii"), value.encode("ascii")) for name, value in {**common, **headers}.items()]
        except UnicodeEncodeError:
            raise ValueError("a header has characters beyond ASCII") from None
        scheme, host = self._origin.scheme.encode(), self._origin.host.encode()
        url = httpcore.URL(scheme=scheme, host=host, port=self._origin.port, target=target.encode("ascii"))
        request = httpcore.Request(method, url, headers=lines, content=content, extensions={"timeout": timeouts})
        pooled = self._take(deadline)
        try:
            with closing(pooled.handle_request(request)) as response:
                yield response
        finally:
            self._give_back(pooled)

    def close(self) -> None:
        """Close the idle connections; a later request opens a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for pooled in idle:
            pooled.close()

    def _take(self, deadline: Deadline) -> PooledConnection:
        while True:
            with self._lock:
                pooled = self._idle.pop() if self._idle else None
            if pooled is None:
                guarded = GuardedConnection(deadline, self._origin.scheme, self._allowed, self._route)
                return PooledConnection(self._origin, guarded)
            if pooled.is_idle() and not pooled.has_expired():
                pooled.guarded.deadline = deadline
                return pooled
            pooled.close()

    def _give_back(self, pooled: PooledConnection) -> None:
        with self._lock:
            # a connection that could not be opened reports both idle and closed
            reusable = pooled.is_idle() and not pooled.is_closed()
            if reusable and len(self._idle) < self._max_idle:
                self._idle.append(pooled)
                return
        pooled.close()


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
        return _Stream(self._guarded.open(host, port, timeout), self._guarded)


class _Stream(httpcore.NetworkStream):
    """A connected socket under the deadline of its GuardedConnection."""

    def __init__(self, sock: socket.socket, guarded: GuardedConnection) -> None:
        self._sock = sock
        self._guarded = guarded

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._sock.settimeout(self._guarded.deadline.allowance(timeout))
        return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        try:
            while rest:
                self._sock.settimeout(self._guarded.deadline.allowance(timeout))
                self._guarded.deadline.sent = True  # from just before the first byte on
                rest = rest[self._sock.send(rest) :]
        except TimeoutError:
            raise
        except OSError as error:
            # httpcore then reads the response of a server that closed before it had read the whole request
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002 - the route decides which certificates are trusted
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Return this connection under TLS. The whole handshake has one time-out; a failed one closes the socket."""
        assert server_hostname is not None
        try:
            self._sock.settimeout(self._guarded.deadline.allowance(timeout))
            return _Stream(wrap_tls(self._sock, self._guarded.route.trust, server_hostname), self._guarded)
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Return whether data or the end can be read; on an idle connection that means that it was closed."""
        if info != "is_readable":
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            return bool(selector.select(0))


_NO_CONTEXT: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Required by httpcore for https and passed to `start_tls`; without any root certificates, so that it is cheap."""


class PooledConnection(httpcore.HTTPConnection):
    """A connection of httpcore's over a socket that `guarded` opens."""

    def __init__(self, origin: UrlParts, guarded: GuardedConnection) -> None:
        super().__init__(
            httpcore.Origin(origin.scheme.encode(), origin.host.encode(), origin.port),
            ssl_context=_NO_CONTEXT if origin.scheme == "https" else None,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_Backend(guarded),
        )
        self.guarded = guarded
