"""HTTP, and the only module that imports an HTTP library.

Built on httpcore alone: no redirect, cookie, proxy, netrc or retry exists here that would have to be switched off. What
an exchange did is told by one fact, whether a first byte may have left, and not by the kind of the error.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import urlencode

import httpcore

from extend_pipeline.providers.addresses import AddressRefused, Reach, Refused, Target, parse_url
from extend_pipeline.providers.body_buffer import BODY_CAP, BodyBuffer
from extend_pipeline.providers.http_results import HttpResult, Lost, Reply, Stream, StreamBroken, Unsent
from extend_pipeline.providers.sockets import Call, Line, LineSocket

CONNECT_TIMEOUT_S: Final = 10.0  # for one address; a reachable host answers a SYN in well under a second
KEEPALIVE_S: Final = 15.0  # shorter than any common server's, so that a reused connection is rarely a dead one
IDLE_CONNECTIONS: Final = 20

_WIRE_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    AddressRefused,
    OSError,
)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, line: Line) -> None:
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
    def __init__(self, sock: LineSocket) -> None:
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
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with _raising(httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(self._sock.secured(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._sock.readable() if info == "is_readable" else None


@contextmanager
def _raising(on_timeout: type[Exception], on_error: type[Exception]) -> Iterator[None]:
    """Errors of the operating system in httpcore's words."""
    try:
        yield
    except TimeoutError as error:
        raise on_timeout(str(error)) from error
    except OSError as error:
        raise on_error(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Wire:
    connection: httpcore.HTTPConnection
    line: Line


class HttpClient:
    """One origin's client. Safe to use from several threads.

    `base_url` may have a path, which goes before every path. Without `allow_local` it is https, and the host has to
    lead to public addresses only; with it loopback is allowed as well, and http to loopback alone. Raises ValueError
    for any other base URL. Headers, and so credentials, go to this origin and nowhere else: a call names a path, never
    a URL.
    """

    def __init__(
        self, base_url: str, *, allow_local: bool = False, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> None:
        target = parse_url(base_url)
        if isinstance(target, Refused):
            raise ValueError(f"base URL: {target.message}")
        if "?" in target.target or "#" in base_url:
            raise ValueError("base URL: a query or fragment has no place in it")
        if target.scheme == "http" and not allow_local:
            raise ValueError("base URL: it has to be https (http is for loopback, with allow_local)")
        self._origin = target
        self._prefix = target.target.rstrip("/")
        self._connect_timeout_s = connect_timeout_s
        if target.scheme == "http":
            self._reach = Reach.LOOPBACK
        else:
            self._reach = Reach.PUBLIC_OR_LOOPBACK if allow_local else Reach.PUBLIC
        self._idle: list[_Wire] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"HttpClient({self._origin.scheme}://{self._origin.authority}{self._prefix})"

    def post_json(
        self, path: str, body: Mapping[str, object], *, headers: Mapping[str, str], deadline_s: float
    ) -> HttpResult:
        """POST once, on a connection of its own: a kept one might be dead already, and nobody could tell what became of
        the request. Blocks for at most `deadline_s` seconds. Raises ValueError where the body is no JSON."""
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
        own = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
        request = self._request("POST", path, {**headers, **own}, content)
        call = Call(deadline_s)
        wire = self._connect(call)
        try:
            return _exchange(wire, request, BODY_CAP)
        finally:
            wire.connection.close()

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str],
        deadline_s: float,
        body_cap: int = BODY_CAP,
    ) -> HttpResult:
        """GET once, on a kept connection where one is free. Blocks for at most `deadline_s` seconds."""
        request = self._request("GET", f"{path}?{urlencode(params)}" if params else path, headers, b"")
        call = Call(deadline_s)
        wire = self._take(call)
        try:
            return _exchange(wire, request, body_cap)
        finally:
            self._give_back(wire)

    def close(self) -> None:
        """Close the kept connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for wire in idle:
            wire.connection.close()

    def _request(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> httpcore.Request:
        if not path.startswith("/") or not path.isascii() or any(char <= " " for char in path):
            raise ValueError(f"not a path: {path!r}")
        waits = {"connect": self._connect_timeout_s}  # every other wait ends with the call's deadline
        return _request(self._origin, method, self._prefix + path, headers, content=content, waits=waits)

    def _connect(self, call: Call) -> _Wire:
        return _connect(self._origin, call, self._reach)

    def _take(self, call: Call) -> _Wire:
        while True:
            with self._lock:
                wire = self._idle.pop() if self._idle else None
            if wire is None:
                return self._connect(call)
            if wire.connection.is_idle() and not wire.connection.has_expired():
                wire.line.call = call
                return wire
            wire.connection.close()

    def _give_back(self, wire: _Wire) -> None:
        with self._lock:
            if wire.connection.is_idle() and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(wire)
                return
        wire.connection.close()


@contextmanager
def open_stream(
    target: Target, *, reach: Reach, deadline_s: float, idle_s: float, headers: Mapping[str, str] | None = None
) -> Iterator[Stream | Unsent | Lost]:
    """GET a target whose body is read piece by piece, on a connection of its own, without following redirects.

    `deadline_s` holds for everything until the last byte, `idle_s` for every single wait.
    """
    call = Call(deadline_s)
    waits = {"connect": min(idle_s, CONNECT_TIMEOUT_S), "read": idle_s, "write": idle_s}
    own = {**(headers or {}), "connection": "close"}
    request = _request(target, "GET", target.target, own, content=b"", waits=waits)
    wire = _connect(target, call, reach)
    try:
        opened = _open(wire, request)
        if not isinstance(opened, httpcore.Response):
            yield opened
            return
        try:
            yield Stream(opened.status, _headers(opened), _chunks(opened, call))
        finally:
            opened.close()
    finally:
        wire.connection.close()


@cache
def user_agent() -> str:
    """The name that requests go out under."""
    try:
        return f"extend-pipeline/{version('extend_pipeline')}"
    except PackageNotFoundError:
        return "extend-pipeline/0"


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpcore.default_ssl_context()


def _connect(target: Target, call: Call, reach: Reach) -> _Wire:
    line = Line(call, reach)
    origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
    connection = httpcore.HTTPConnection(
        origin,
        ssl_context=_ssl_context() if target.scheme == "https" else None,
        keepalive_expiry=KEEPALIVE_S,
        network_backend=_Backend(line),
    )
    return _Wire(connection, line)


def _request(
    target: Target,
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    content: bytes,
    waits: Mapping[str, float],
) -> httpcore.Request:
    """Raises ValueError for a header that isn't plain ASCII."""
    own = {"host": target.authority, "user-agent": user_agent(), "accept-encoding": "identity"}
    try:
        lines = [(name.encode("ascii"), value.encode("ascii")) for name, value in {**own, **headers}.items()]
    except UnicodeEncodeError:
        raise ValueError("a header has characters beyond ASCII") from None
    return httpcore.Request(
        method,
        httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=path.encode("ascii")
        ),
        headers=lines,
        content=content,
        extensions={"timeout": dict(waits)},
    )


def _open(wire: _Wire, request: httpcore.Request) -> httpcore.Response | Unsent | Lost:
    try:
        return wire.connection.handle_request(request)
    except _WIRE_ERRORS as error:
        return _failure(error, wire.line.call)


def _exchange(wire: _Wire, request: httpcore.Request, cap: int) -> HttpResult:
    call = wire.line.call
    status: int | None = None
    buffer = BodyBuffer(encoding="", cap=cap)
    try:
        response = wire.connection.handle_request(request)
        try:
            status, headers = response.status, _headers(response)
            buffer = BodyBuffer(encoding=headers.get("content-encoding", ""), cap=cap)
            for chunk in response.iter_stream():
                if not buffer.feed(chunk):
                    break
        finally:
            response.close()
    except _WIRE_ERRORS as error:
        return _failure(error, call, status, buffer.data)
    return Reply(status, headers, buffer.data, buffer.truncated, time.monotonic() - call.started)


def _failure(error: Exception, call: Call, status: int | None = None, body: bytes = b"") -> Unsent | Lost:
    reason = str(error) or type(error).__name__
    if call.left() <= 0:
        reason = f"no whole answer within {call.limit}"
    if call.sent:
        return Lost(reason, status, body)
    if call.left() <= 0:
        reason = f"no connection within {call.limit}"
    return Unsent(reason, refused=isinstance(error, AddressRefused | httpcore.LocalProtocolError))


def _headers(response: httpcore.Response) -> dict[str, str]:
    merged: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return merged


def _chunks(response: httpcore.Response, call: Call) -> Iterator[bytes]:
    try:
        yield from response.iter_stream()
    except _WIRE_ERRORS as error:
        late = call.left() <= 0
        reason = f"not finished within {call.limit}" if late else str(error) or type(error).__name__
        raise StreamBroken(reason) from error
