"""HTTP through httpx. Only this module and transport.py under it import an HTTP library.

httpx is given whole requests, so that it adds no header, cookie, redirect, proxy, netrc or retry of its own. What an
exchange did is told by one fact, whether a first byte may have left, and not by the kind of the error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.cookiejar import CookieJar
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from extend_pipeline.base.scrub import scrub
from extend_pipeline.base.version import program_version
from extend_pipeline.providers.http.body import BODY_CAP, BodyBuffer
from extend_pipeline.providers.http.guard import AddressFault, AddressPolicy, AddressRefused, UrlParts, parse_url
from extend_pipeline.providers.http.results import (
    HttpResult,
    NoResponse,
    NotSent,
    Pace,
    Reply,
    SettingRefused,
    Stream,
    StreamBroken,
)
from extend_pipeline.providers.http.route import DIRECT, Route
from extend_pipeline.providers.http.sockets import Deadline
from extend_pipeline.providers.http.transport import OriginTransport

CONNECT_TIMEOUT_S: Final = 10.0  # for one address; a reachable host answers a SYN in well under a second
IDLE_CONNECTIONS: Final = 20
REASON_CAP: Final = 300  # characters; an HTTP library repeats the line that it can't read, whole

_WIRE_ERRORS: Final = (httpx.TransportError, AddressRefused, SettingRefused)


class HttpClient:
    """One origin's client. Safe to use from several threads.

    `base_url` may have a path, which goes before every path. It is https, and the host has to lead to public addresses
    only. With `allow_local` loopback is allowed as well, and http to loopback alone; where the route is private,
    private addresses are, and http to those alone. Raises ValueError for any other base URL. Headers, and so
    credentials, go to this origin and nowhere else: a call names a path, never a URL.
    """

    def __init__(
        self,
        base_url: str,
        *,
        allow_local: bool = False,
        route: Route = DIRECT,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        target = parse_url(base_url)
        if isinstance(target, AddressFault):
            raise ValueError(f"base URL: {target.message}")
        if "?" in target.target or "#" in base_url:
            raise ValueError("base URL: a query or fragment has no place in it")
        if target.scheme == "http" and not (allow_local or route.private):
            raise ValueError("base URL: it has to be https (http is for loopback and private networks)")
        self._origin = target
        self._prefix = target.target.rstrip("/")
        self._waits = httpx.Timeout(None, connect=connect_timeout_s)  # other waits end with the call's deadline
        reach = reach_of(target.scheme, allow_local=allow_local, route=route)
        self._kept = OriginTransport(target, reach=reach, route=route, kept=IDLE_CONNECTIONS)
        self._gets = _client(self._kept)
        self._posts = _client(OriginTransport(target, reach=reach, route=route))

    def __repr__(self) -> str:
        return f"HttpClient({self._origin.scheme}://{self._origin.authority}{self._prefix})"

    def post_json(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        headers: Mapping[str, str],
        deadline_s: float,
        body_cap: int = BODY_CAP,
    ) -> HttpResult:
        """POST once, on a connection of its own: a kept one might be dead already, and nobody could tell what became of
        the request. Blocks for at most `deadline_s` seconds. Raises ValueError where the body is no JSON."""
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
        own = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
        request = self._request("POST", path, {**headers, **own}, content)
        return _exchange(self._posts, request, Deadline(deadline_s), body_cap)

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
        return _exchange(self._gets, request, Deadline(deadline_s), body_cap)

    def close(self) -> None:
        """Close the kept connections."""
        self._kept.close()

    def _request(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> httpx.Request:
        if not path.startswith("/") or not path.isascii() or any(char <= " " for char in path):
            raise ValueError(f"not a path: {path!r}")
        return _request(self._origin, method, self._prefix + path, headers, content=content, waits=self._waits)


@contextmanager
def open_stream(
    target: UrlParts,
    *,
    reach: AddressPolicy,
    route: Route = DIRECT,
    deadline_s: float,
    idle_s: float,
    pace: Pace | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Stream | NotSent | NoResponse]:
    """GET a target whose body is read piece by piece, on a connection of its own, without following redirects.

    `idle_s` holds for every single wait. `deadline_s` holds until the last byte; with a `pace` until the body begins,
    which then takes as long as it keeps the pace.
    """
    call = Deadline(deadline_s)
    waits = httpx.Timeout(idle_s, connect=min(idle_s, CONNECT_TIMEOUT_S))
    own = {**(headers or {}), "connection": "close"}
    request = _request(target, "GET", target.target, own, content=b"", waits=waits)
    with _client(OriginTransport(target, reach=reach, route=route)) as client:
        opened = _open(client, request, call)
        if not isinstance(opened, httpx.Response):
            yield opened
            return
        with closing(opened):
            yield Stream(opened.status_code, _headers(opened), _chunks(opened, call, pace))


def user_agent() -> str:
    """Return the name that requests go out under."""
    return f"extend-pipeline/{program_version()}"


def reach_of(scheme: str, *, allow_local: bool, route: Route) -> AddressPolicy:
    """Return which addresses an account's own host may have."""
    if route.private:
        return AddressPolicy.PRIVATE if scheme == "http" else AddressPolicy.PUBLIC_OR_PRIVATE
    if scheme == "http":
        return AddressPolicy.LOOPBACK
    return AddressPolicy.PUBLIC_OR_LOOPBACK if allow_local else AddressPolicy.PUBLIC


class _NoCookies(CookieJar):
    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep nothing: what an account's answer sets must not go out with the next request."""


def _client(transport: OriginTransport) -> httpx.Client:
    return httpx.Client(transport=transport, trust_env=False, follow_redirects=False, cookies=_NoCookies())


def _request(
    target: UrlParts,
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    content: bytes,
    waits: httpx.Timeout,
) -> httpx.Request:
    """Raises ValueError for a header that isn't plain ASCII."""
    own = {"host": target.authority, "user-agent": user_agent(), "accept-encoding": "identity"}
    try:
        lines = [(name.encode("ascii"), value.encode("ascii")) for name, value in {**own, **headers}.items()]
    except UnicodeEncodeError:
        raise ValueError("a header has characters beyond ASCII") from None
    # the path goes beside the URL: httpx would quote it anew, which breaks signatures, and name it in its log
    url = f"{target.scheme}://{target.authority}/"
    extensions = {"timeout": waits.as_dict(), "target": path.encode("ascii")}
    return httpx.Request(method, url, headers=lines, content=content, extensions=extensions)


def _open(client: httpx.Client, request: httpx.Request, call: Deadline) -> httpx.Response | NotSent | NoResponse:
    request.extensions["call"] = call
    try:
        return client.send(request, stream=True)
    except _WIRE_ERRORS as error:
        return _failure(error, call)


def _exchange(client: httpx.Client, request: httpx.Request, call: Deadline, cap: int) -> HttpResult:
    opened = _open(client, request, call)
    if not isinstance(opened, httpx.Response):
        return opened
    status, headers = opened.status_code, _headers(opened)
    buffer = BodyBuffer(encoding=headers.get("content-encoding", ""), cap=cap)
    try:
        with closing(opened):
            for chunk in opened.iter_raw():
                if not buffer.feed(chunk):
                    break
    except _WIRE_ERRORS as error:
        return _failure(error, call, status, buffer.data)
    return Reply(status, headers, buffer.data, buffer.truncated, time.monotonic() - call.started)


def _failure(error: Exception, call: Deadline, status: int | None = None, body: bytes = b"") -> NotSent | NoResponse:
    reason = _reason(error)
    if call.left() <= 0:
        reason = f"no whole answer within {call.limit}"
    if call.sent:
        return NoResponse(reason, status, body)
    if call.left() <= 0:
        reason = f"no connection within {call.limit}"
    refused = isinstance(error, AddressRefused | SettingRefused | httpx.LocalProtocolError)
    return NotSent(reason, refused=refused, setting=error.setting if isinstance(error, SettingRefused) else None)


def _reason(error: Exception) -> str:
    # our own words about a setting say what to do at their end
    cap = 2 * REASON_CAP if isinstance(error, SettingRefused) else REASON_CAP
    return scrub(str(error) or type(error).__name__, cap=cap)


def _headers(response: httpx.Response) -> dict[str, str]:
    response.headers.encoding = "latin-1"  # httpx would guess, and a wrong guess is no ground to fail
    return dict(response.headers.items())


def _chunks(response: httpx.Response, call: Deadline, pace: Pace | None) -> Iterator[bytes]:
    came = 0
    if pace is not None:
        call.renew(pace.window_s)
    try:
        for chunk in response.iter_raw():
            came += len(chunk)
            if pace is not None and came >= pace.least_bytes:
                came = 0
                call.renew(pace.window_s)
            yield chunk
    except _WIRE_ERRORS as error:
        late = call.left() <= 0
        slow = f"not finished within {call.limit}" if pace is None else f"only {came} bytes came within {call.limit}"
        reason = slow if late else _reason(error)
        raise StreamBroken(reason) from error
