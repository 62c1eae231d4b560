"""HTTP with a deadline for each exchange. Whether a request counts as sent depends only on whether a first byte may
have left, not on the type of the error."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final
from urllib.parse import urlencode

import httpcore

from extend_pipeline.base.scrub import scrub
from extend_pipeline.providers.http.body import BODY_CAP, BodyBuffer
from extend_pipeline.providers.http.guard import AddressFault, AddressPolicy, UrlParts, parse_url
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
from extend_pipeline.providers.http.transport import REFUSALS, TRANSPORT_ERRORS, OriginPool

CONNECT_TIMEOUT_S: Final = 10.0  # for one address; a reachable host accepts a connection in well under a second
IDLE_CONNECTIONS: Final = 20
REASON_CAP: Final = 300  # characters; an HTTP library quotes the line that it can't parse


class HttpClient:
    """One origin's client. Safe to use from several threads.

    A path in `base_url` is put before every path. The URL must be https, and every address of its host public. With
    `allow_local`, loopback addresses are allowed too, and http to loopback only; with a private route, private
    addresses are, and http to private ones only. Raises ValueError for any other base URL. Callers pass paths, never
    URLs, so that headers, which hold credentials, go to this origin only.
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
            raise ValueError("base URL: it must have no query and no fragment")
        if target.scheme == "http" and not (allow_local or route.private):
            raise ValueError("base URL: it has to be https (http is for loopback and private networks)")
        self._origin = target
        self._prefix = target.target.rstrip("/")
        self._timeouts = {"connect": connect_timeout_s}  # other waits end with the call's deadline
        allowed = address_policy(target.scheme, allow_local=allow_local, route=route)
        self._gets = OriginPool(target, allowed=allowed, route=route, max_idle=IDLE_CONNECTIONS)
        self._posts = OriginPool(target, allowed=allowed, route=route)

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
        """POST once, on a new connection, because on a pooled one that the server has closed the request's outcome
        would be unknown. Blocks for at most `deadline_s` seconds. Raises ValueError for a body that is not valid
        JSON."""
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
        own = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
        return self._exchange(
            self._posts, "POST", path, {**headers, **own}, content, deadline_s=deadline_s, cap=body_cap
        )

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str],
        deadline_s: float,
        body_cap: int = BODY_CAP,
    ) -> HttpResult:
        """GET once, on a pooled connection if one is idle. Blocks for at most `deadline_s` seconds."""
        target = f"{path}?{urlencode(params)}" if params else path
        return self._exchange(self._gets, "GET", target, headers, b"", deadline_s=deadline_s, cap=body_cap)

    def close(self) -> None:
        """Close the pooled connections."""
        self._gets.close()

    def _exchange(
        self,
        pool: OriginPool,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        deadline_s: float,
        cap: int,
    ) -> HttpResult:
        if not path.startswith("/") or not path.isascii() or any(char <= " " for char in path):
            raise ValueError(f"not a path: {path!r}")
        target, deadline = self._prefix + path, Deadline(deadline_s)
        status, buffer = None, BodyBuffer(encoding="", cap=cap)
        try:
            with pool.send(
                method, target, headers, content=content, timeouts=self._timeouts, deadline=deadline
            ) as response:
                status, received = response.status, _headers(response)
                buffer = BodyBuffer(encoding=received.get("content-encoding", ""), cap=cap)
                for chunk in response.iter_stream():
                    if not buffer.feed(chunk):
                        break
                return Reply(status, received, buffer.data, buffer.truncated)
        except TRANSPORT_ERRORS as error:
            return _failure(error, deadline, status, buffer.data)


@contextmanager
def open_stream(
    target: UrlParts,
    *,
    allowed: AddressPolicy,
    route: Route = DIRECT,
    deadline_s: float,
    idle_s: float,
    pace: Pace | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Stream | NotSent | NoResponse]:
    """Open a GET whose body is read in chunks, on a new connection, without following redirects.

    `idle_s` limits every single wait. `deadline_s` limits the whole exchange; with a `pace` only the time until the
    body begins, which may then take as long as it keeps the pace.
    """
    deadline = Deadline(deadline_s)
    timeouts = {"connect": min(idle_s, CONNECT_TIMEOUT_S), "read": idle_s, "write": idle_s}
    own = {**(headers or {}), "connection": "close"}
    pool = OriginPool(target, allowed=allowed, route=route)
    with ExitStack() as stack:
        opened: Stream | NotSent | NoResponse
        try:
            response = stack.enter_context(pool.send("GET", target.target, own, timeouts=timeouts, deadline=deadline))
        except TRANSPORT_ERRORS as error:
            opened = _failure(error, deadline)
        else:
            opened = Stream(response.status, _headers(response), _chunks(response, deadline, pace))
        yield opened


def address_policy(scheme: str, *, allow_local: bool, route: Route) -> AddressPolicy:
    """Return the policy for the addresses of an account's host."""
    if route.private:
        return AddressPolicy.PRIVATE if scheme == "http" else AddressPolicy.PUBLIC_OR_PRIVATE
    if scheme == "http":
        return AddressPolicy.LOOPBACK
    return AddressPolicy.PUBLIC_OR_LOOPBACK if allow_local else AddressPolicy.PUBLIC


def _failure(
    error: Exception, deadline: Deadline, status: int | None = None, body: bytes = b""
) -> NotSent | NoResponse:
    reason = _reason(error)
    if deadline.left() <= 0:
        reason = f"no complete response within {deadline.limit}"
    if deadline.sent:
        return NoResponse(reason, status, body)
    if deadline.left() <= 0:
        reason = f"no connection within {deadline.limit}"
    refused = isinstance(error, REFUSALS)
    return NotSent(reason, refused=refused, setting=error.setting if isinstance(error, SettingRefused) else None)


def _reason(error: Exception) -> str:
    # a message about a setting of ours ends with what to do
    cap = 2 * REASON_CAP if isinstance(error, SettingRefused) else REASON_CAP
    return scrub(str(error) or type(error).__name__, cap=cap)


def _headers(response: httpcore.Response) -> dict[str, str]:
    """Return the headers by lower-case name, as Latin-1; the values of a repeated one are joined by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _chunks(response: httpcore.Response, deadline: Deadline, pace: Pace | None) -> Iterator[bytes]:
    received = 0
    if pace is not None:
        deadline.renew(pace.window_s)
    try:
        for chunk in response.iter_stream():
            received += len(chunk)
            if pace is not None and received >= pace.min_bytes:
                received = 0
                deadline.renew(pace.window_s)
            yield chunk
    except TRANSPORT_ERRORS as error:
        if deadline.left() > 0:
            raise StreamBroken(_reason(error)) from error
        progress = "not finished" if pace is None else f"only {received} bytes came"
        raise StreamBroken(f"{progress} within {deadline.limit}") from error
