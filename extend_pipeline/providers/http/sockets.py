"""Sockets with a deadline that connect to allowed addresses only; transport.py passes them to the HTTP library.

Every wait (name, connect, TLS, write, read) ends with the exchange's deadline, so that neither a slow handshake nor a
server that sends one byte per second exceeds it. Raises OSError and TimeoutError.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Final

from extend_pipeline.providers.http.guard import AddressPolicy, checked_addresses, checked_addresses_before_proxy
from extend_pipeline.providers.http.proxy import open_tunnel
from extend_pipeline.providers.http.route import Route
from extend_pipeline.providers.http.trust import wrap_tls

LOOK_UP_S: Final = (
    2.0  # for a name that a proxy resolves, because behind a proxy public names often can't be resolved here
)


class Deadline:
    """The deadline of one exchange, and whether a byte of it may have left this machine."""

    __slots__ = ("_ends", "limit", "sent")

    def __init__(self, limit_s: float) -> None:
        self.renew(limit_s)
        self.sent = False

    def renew(self, limit_s: float) -> None:
        """Set the deadline to `limit_s` seconds from now."""
        self.limit = f"{round(limit_s, 1):g} s"
        self._ends = time.monotonic() + limit_s

    def left(self) -> float:
        """Return the seconds left; zero or negative after the deadline."""
        return self._ends - time.monotonic()

    def allowance(self, configured: float | None) -> float:
        """Return the seconds that the next wait may take. Raises TimeoutError after the deadline."""
        left = self.left()
        if left <= 0:
            raise TimeoutError(f"the deadline of {self.limit} passed")
        return left if configured is None else min(left, configured)


class GuardedConnection:
    """Opens one connection. `deadline` is that of the current exchange; a pooled connection serves several in turn."""

    def __init__(self, deadline: Deadline, scheme: str, allowed: AddressPolicy, route: Route) -> None:
        self.deadline = deadline
        self.scheme = scheme
        self.allowed = allowed
        self.route = route

    def open(self, host: str, port: int, timeout: float | None) -> GuardedSocket:
        """Connect to a host, through the proxy if there is one. Raises OSError, TimeoutError, AddressRefused,
        ProxyRefused."""
        proxy = self.route.proxy_to(host, port, scheme=self.scheme, allowed=self.allowed)
        if proxy is None:
            return GuardedSocket(self._connect(host, port, self.allowed, timeout), self)
        authority = self._proxy_authority(host, port, timeout)
        try:
            sock = self._connect(proxy.host, proxy.port, AddressPolicy.PUBLIC_OR_PRIVATE, timeout)
        except OSError as error:
            raise type(error)(f"the proxy {proxy} ({proxy.named_by}): {error}") from error
        try:
            open_tunnel(sock, proxy, authority, lambda: self.deadline.allowance(timeout))
        except BaseException:
            sock.close()
            raise
        return GuardedSocket(sock, self)

    def _proxy_authority(self, host: str, port: int, timeout: float | None) -> str:
        """Return the authority for CONNECT, after the same address checks as for a direct connection."""
        look_up_s = min(self.deadline.allowance(timeout), LOOK_UP_S)
        addresses = checked_addresses_before_proxy(host, port, timeout_s=look_up_s)
        target = host
        if self.scheme != "https":
            if not addresses:
                raise OSError(f"the name {host} can't be found here, and without TLS a proxy is given addresses alone")
            target = str(addresses[0])
        return f"[{target}]:{port}" if ":" in target else f"{target}:{port}"

    def _connect(self, host: str, port: int, allowed: AddressPolicy, timeout: float | None) -> socket.socket:
        """Connect to the first reachable one of a host's checked addresses."""
        addresses = checked_addresses(host, port, allowed=allowed, timeout_s=self.deadline.allowance(timeout))
        failure: OSError = OSError(f"{host} has no address")
        for index, address in enumerate(addresses):
            # an address that drops packets must not use up the time of the next one
            share = min(self.deadline.allowance(timeout), self.deadline.left() / (len(addresses) - index))
            try:
                sock = socket.create_connection((str(address), port), timeout=max(share, 0.001))
            except TimeoutError:
                failure = TimeoutError(f"no connection to {address} port {port} in time")
            except OSError as error:
                failure = OSError(f"no connection to {address} port {port}: {error.strerror or error}")
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        raise failure


class GuardedSocket:
    """A connected socket under the deadline of its GuardedConnection."""

    def __init__(self, sock: socket.socket, connection: GuardedConnection) -> None:
        self._sock = sock
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Return the next bytes, at most `max_bytes`; empty at the end."""
        self._sock.settimeout(self._connection.deadline.allowance(timeout))
        return self._sock.recv(max_bytes)

    def write(self, data: bytes, timeout: float | None) -> None:
        """Send all of `data`. The exchange counts as sent from just before the first byte on."""
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self._connection.deadline.allowance(timeout))
            self._connection.deadline.sent = True
            rest = rest[self._sock.send(rest) :]

    def start_tls(self, name: str, timeout: float | None) -> GuardedSocket:
        """Return this connection under TLS. The whole handshake has one time-out; a failed one closes the socket.
        Raises CertificateRefused, OSError, TimeoutError."""
        try:
            self._sock.settimeout(self._connection.deadline.allowance(timeout))
            return GuardedSocket(wrap_tls(self._sock, self._connection.route.trust, name), self._connection)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        """Return whether data or the end can be read; on an idle connection that means that it was closed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            return bool(selector.select(0))

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()
