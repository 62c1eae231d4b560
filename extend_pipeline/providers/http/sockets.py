"""Sockets that keep a deadline and go only where they may: what transport.py hands to the HTTP library to speak
through.

Every wait of a call (name, connect, TLS, write, read) ends with the call's own deadline, so that neither a slow
handshake nor a server that sends one byte a second can stretch it. Errors are the operating system's: OSError and
TimeoutError.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Final

from extend_pipeline.providers.http.guard import AddressPolicy, checked_addresses, checked_before_proxy
from extend_pipeline.providers.http.proxy import open_tunnel
from extend_pipeline.providers.http.route import Route
from extend_pipeline.providers.http.trust import secured

LOOK_UP_S: Final = 2.0  # for a name that a proxy will look up: behind one, public names often aren't known here


class Deadline:
    """One exchange: how much of its time (seconds) is left, and whether a byte of it may have left this machine."""

    __slots__ = ("_ends", "limit", "sent", "started")

    def __init__(self, limit_s: float) -> None:
        self.started = time.monotonic()
        self.limit = f"{round(limit_s, 1):g} s"
        self._ends = self.started + limit_s
        self.sent = False

    def renew(self, limit_s: float) -> None:
        """Let the deadline be `limit_s` seconds from now."""
        self.limit = f"{round(limit_s, 1):g} s"
        self._ends = time.monotonic() + limit_s

    def left(self) -> float:
        """Return seconds left; not positive once the deadline has passed."""
        return self._ends - time.monotonic()

    def allowance(self, configured: float | None) -> float:
        """Return seconds that the next wait may take. Raises TimeoutError where none are left."""
        left = self.left()
        if left <= 0:
            raise TimeoutError(f"the deadline of {self.limit} passed")
        return left if configured is None else min(left, configured)


class GuardedConnection:
    """One connection's way out. `call` is the exchange that it serves now; a kept connection serves several in turn."""

    def __init__(self, call: Deadline, scheme: str, reach: AddressPolicy, route: Route) -> None:
        self.call = call
        self.scheme = scheme
        self.reach = reach
        self.route = route

    def open(self, host: str, port: int, timeout: float | None) -> GuardedSocket:
        """Connect to the host, through the proxy where there is one. Raises OSError, TimeoutError, AddressRefused,
        ProxyRefused."""
        proxy = self.route.proxy_to(host, port, scheme=self.scheme, reach=self.reach)
        if proxy is None:
            return GuardedSocket(self._connect(host, port, self.reach, timeout), self)
        authority = self._handed_over(host, port, timeout)
        try:
            sock = self._connect(proxy.host, proxy.port, AddressPolicy.PUBLIC_OR_PRIVATE, timeout)
        except OSError as error:
            raise type(error)(f"the proxy {proxy} ({proxy.named_by}): {error}") from error
        try:
            open_tunnel(sock, proxy, authority, lambda: self.call.allowance(timeout))
        except BaseException:
            sock.close()
            raise
        return GuardedSocket(sock, self)

    def _handed_over(self, host: str, port: int, timeout: float | None) -> str:
        """Return what a proxy is asked to connect to, after the same checks that a connection of our own would have."""
        look_up_s = min(self.call.allowance(timeout), LOOK_UP_S)
        addresses = checked_before_proxy(host, port, timeout_s=look_up_s)
        named = host
        if self.scheme != "https":
            if not addresses:
                raise OSError(f"the name {host} can't be found here, and without TLS a proxy is given addresses alone")
            named = str(addresses[0])
        return f"[{named}]:{port}" if ":" in named else f"{named}:{port}"

    def _connect(self, host: str, port: int, reach: AddressPolicy, timeout: float | None) -> socket.socket:
        """Connect to the first checked address of the host that answers."""
        found = checked_addresses(host, port, reach=reach, timeout_s=self.call.allowance(timeout))
        failure: OSError = OSError(f"{host} has no address")
        for index, address in enumerate(found):
            # an address that swallows packets must not eat the time of the next one
            share = min(self.call.allowance(timeout), self.call.left() / (len(found) - index))
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
    """A connected socket on a line."""

    def __init__(self, sock: socket.socket, line: GuardedConnection) -> None:
        self._sock = sock
        self._line = line

    def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Return what has come, at most `max_bytes`; empty at the end."""
        self._sock.settimeout(self._line.call.allowance(timeout))
        return self._sock.recv(max_bytes)

    def write(self, data: bytes, timeout: float | None) -> None:
        """Send everything. From just before the first byte on, the call counts as sent."""
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self._line.call.allowance(timeout))
            self._line.call.sent = True
            rest = rest[self._sock.send(rest) :]

    def secured(self, name: str, timeout: float | None) -> GuardedSocket:
        """Return the same connection under TLS. The handshake as a whole has one time-out; a failed one closes the
        socket. Raises CertificateRefused, OSError, TimeoutError."""
        try:
            self._sock.settimeout(self._line.call.allowance(timeout))
            return GuardedSocket(secured(self._sock, self._line.route.trust, name), self._line)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        """Return whether something, or the end, is waiting to be read: on an idle connection the sign that it was
        closed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            return bool(selector.select(0))

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()
