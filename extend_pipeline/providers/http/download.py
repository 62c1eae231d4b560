"""Download a result: one streamed GET under a policy of allowed hosts, without credentials, cookies or headers of ours.

URLs come from upstream responses, so each of them, redirects included, is checked as untrusted input.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Final
from urllib.parse import urljoin

from extend_pipeline.base.net import is_local, is_loopback_host, is_public, parse_address
from extend_pipeline.providers.http.client import open_stream
from extend_pipeline.providers.http.guard import (
    AddressFault,
    AddressPolicy,
    UrlParts,
    parse_url,
)
from extend_pipeline.providers.http.ranges import NoRange, Resume, continuation, nothing_follows, strong_validator
from extend_pipeline.providers.http.results import NoResponse, NotSent, Pace, Stream, StreamBroken
from extend_pipeline.providers.http.route import DIRECT, Route

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({401, 403, 404, 410})  # what object stores return for an expired signature
_NO_VIDEO: Final = ("text/html", "application/xhtml", "application/json", "application/xml", "text/xml")


class FaultKind(StrEnum):
    """What to do about a download that failed."""

    EXPIRED = "expired"  # query the provider for a fresh URL
    TRANSIENT = "transient"  # try again
    REFUSED = "refused"  # against the policy: the operator has to decide


@dataclass(frozen=True, slots=True)
class PrivateHost:
    """A host that may be in a private network; `port` and `http` are those of the account's base URL."""

    host: str
    port: int
    http: bool

    @classmethod
    def of(cls, base_url: str) -> PrivateHost | None:
        """Return the host of a base URL."""
        target = parse_url(base_url)
        return None if isinstance(target, AddressFault) else cls(target.host, target.port, target.scheme == "http")


@dataclass(frozen=True, slots=True)
class DownloadPolicy:
    """Where results may come from, and how large and slow they may be.

    `hosts` are host names or patterns: `*.example.com` matches every host below example.com but not itself, `*` every
    host name; None allows any public host. `http` allows URLs without TLS. `allow_local` allows loopback hosts that are
    not listed, also over http. `private` is the account's own host, which may be in a private network: it is allowed
    without being listed, over http if the account's base URL is http, and only that host may redirect to it.
    `is_video` checks the first bytes of a body that is declared as a page or a message, because hosts declare videos
    wrongly.

    `idle_timeout_s` limits the time until the body begins, redirects included, and each wait for a byte of it. A body
    may take as long as it keeps the pace of `min_bytes` per `window_s` seconds, so that a slow host occupies no worker.
    """

    hosts: tuple[str, ...] | None = None
    http: bool = False
    allow_local: bool = False
    private: PrivateHost | None = None
    route: Route = DIRECT
    max_bytes: int = 2_000_000_000
    idle_timeout_s: float = 60.0
    window_s: float = 120.0
    min_bytes: int = 65_536
    max_redirects: int = 3
    is_video: Callable[[bytes], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Body:
    """A response whose body is being read, inside the `with` only. `chunks` raises DownloadInterrupted.

    The body has `content_length` bytes, from byte `start` of the file on. The file has `total` bytes, and `validator`
    identifies its version. None for what the server doesn't declare.
    """

    status: int
    content_length: int | None
    content_type: str
    chunks: Iterator[bytes] = field(repr=False)
    start: int = 0
    total: int | None = None
    validator: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no body. The message leaves out the URL's query, which may be a signature. `status` is the HTTP
    status, None without a response."""

    kind: FaultKind
    message: str
    status: int | None = None


class DownloadInterrupted(Exception):
    """A body that ended too early or exceeds the limit."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


@contextmanager
def open_download(url: str, policy: DownloadPolicy, resume: Resume | None = None) -> Iterator[Body | Fault | NoRange]:
    """Open a result for reading: yield a Body, or the Fault that prevents it. With `resume`, request only the rest of
    the file: the Body may still begin at 0, and NoRange is yielded if the response is neither the rest nor the whole
    file."""
    with ExitStack() as stack:
        yield _open(url, policy, resume, stack)


def check_url(url: str, policy: DownloadPolicy, *, private: bool = True) -> tuple[UrlParts, AddressPolicy] | Fault:
    """Return the parts of a URL and the policy for its addresses, or why it isn't fetched. Pure: resolves no name.
    Without `private`, as for a redirect from another host, the policy's private host is treated like any other."""
    target = parse_url(url)
    if isinstance(target, AddressFault):
        return Fault(FaultKind.REFUSED, target.message)
    if private and policy.private is not None and target.host == policy.private.host:
        return _check_private(target, policy.private)
    if policy.allow_local and is_loopback_host(target.host):
        return target, AddressPolicy.LOOPBACK
    if target.scheme != "https" and not policy.http:
        return Fault(
            FaultKind.REFUSED,
            f"{target.host} is named with http, and results are fetched over https; set the account's "
            "download_http: true if this host is to be fetched from without TLS",
        )
    if target.port != {"https": 443, "http": 80}[target.scheme] and target.port < 1024:
        return Fault(FaultKind.REFUSED, f"{target.host}: port {target.port} belongs to another service")
    address = parse_address(target.host)
    # refused without resolving it; a name that resolves to such an address is refused when connecting
    if is_local(target.host) or (address is not None and not is_public(address)):
        return Fault(FaultKind.REFUSED, f"{target.host} is an address of this machine or of a private network")
    if policy.hosts is not None and not any(host_matches(target.host, pattern) for pattern in policy.hosts):
        return Fault(
            FaultKind.REFUSED,
            f"{target.host} is not among the account's download_hosts; add it there if the result is to be fetched",
        )
    return target, AddressPolicy.PUBLIC


def _check_private(target: UrlParts, own: PrivateHost) -> tuple[UrlParts, AddressPolicy] | Fault:
    if target.scheme == "http" and not own.http:
        return Fault(
            FaultKind.REFUSED,
            f"{target.host} is named with http, and the account's base_url is https; write base_url: http://… if it is "
            "to be reached without TLS",
        )
    if target.port not in (own.port, 443, 80) and target.port < 1024:
        return Fault(FaultKind.REFUSED, f"{target.host}: port {target.port} belongs to another service")
    return target, AddressPolicy.PRIVATE if target.scheme == "http" else AddressPolicy.PUBLIC_OR_PRIVATE


def host_matches(host: str, pattern: str) -> bool:
    """Return whether a host matches a pattern. An address matches only itself, written out."""
    pattern = pattern.lower().strip("[]").removesuffix(".")
    if parse_address(host) is not None or not pattern.startswith("*"):
        return host == pattern
    return pattern == "*" or (pattern.startswith("*.") and host.endswith(pattern[1:]) and host != pattern[2:])


def _open(url: str, policy: DownloadPolicy, resume: Resume | None, stack: ExitStack) -> Body | Fault | NoRange:
    ends = time.monotonic() + policy.idle_timeout_s
    pace = Pace(policy.min_bytes, policy.window_s)
    range_headers = None if resume is None else resume.headers()
    from_private_host = True  # a redirect from another host must not lead into a private network
    for _ in range(policy.max_redirects + 1):
        checked = check_url(url, policy, private=from_private_host)
        if isinstance(checked, Fault):
            return checked
        target, allowed = checked
        hop = stack.enter_context(ExitStack())
        response = hop.enter_context(
            open_stream(
                target,
                allowed=allowed,
                route=policy.route,
                deadline_s=max(ends - time.monotonic(), 0.0),
                idle_s=policy.idle_timeout_s,
                pace=pace,
                headers=range_headers,
            )
        )
        match response:
            case NotSent(reason=reason, refused=refused):
                return Fault(FaultKind.REFUSED if refused else FaultKind.TRANSIENT, f"{target.host}: {reason}")
            case NoResponse(reason=reason):
                return Fault(FaultKind.TRANSIENT, f"{target.host}: {reason}")
            case Stream(status=status, headers=headers) if status in _REDIRECTS and "location" in headers:
                hop.close()
                at_private_host = policy.private is not None and target.host == policy.private.host
                from_private_host = from_private_host and at_private_host
                try:
                    url = urljoin(url, headers["location"])
                except ValueError:
                    return Fault(FaultKind.REFUSED, f"{target.host} redirects to an invalid URL")
            case Stream():
                return _body(response, target, policy, resume)
    return Fault(FaultKind.REFUSED, f"more than {policy.max_redirects} redirects")


def _body(response: Stream, target: UrlParts, policy: DownloadPolicy, resume: Resume | None) -> Body | Fault | NoRange:
    status, headers = response.status, response.headers
    if status in _GONE:
        return Fault(FaultKind.EXPIRED, f"{target.host} returned HTTP {status}: the URL has expired or is gone", status)
    if resume is not None and status == 416:
        return nothing_follows(resume, headers)
    if status != 200 and (status != 206 or resume is None):
        return Fault(FaultKind.TRANSIENT, f"{target.host} returned HTTP {status}", status)
    content_type = headers.get("content-type", "").split(";")[0].strip().lower()
    chunks = response.chunks
    if content_type.startswith(_NO_VIDEO):
        try:
            first = next(chunks, b"")
        except StreamBroken:
            first = b""
        chunks = chain([first], chunks)
    if content_type.startswith(_NO_VIDEO) and not policy.is_video(first):
        kind = "an HTML page" if "html" in content_type else _printable(content_type)
        return Fault(FaultKind.TRANSIENT, f"{target.host} sent {kind} instead of a video", status)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return Fault(
            FaultKind.TRANSIENT,
            f"{target.host} sent the video compressed ({_printable(encoding)}), which was not requested",
            status,
        )
    declared = headers.get("content-length", "")
    length = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 19 else None
    start, total = 0, length
    if resume is not None and status == 206:
        continued = continuation(resume, headers)
        if isinstance(continued, NoRange) or length not in (None, continued.length):
            return NoRange(None)
        start, length, total = resume.offset, continued.length, continued.total or resume.total
    if (total or start) > policy.max_bytes:
        return Fault(FaultKind.REFUSED, f"{total or start} bytes; the limit is {policy.max_bytes}")
    checked = _check_length(chunks, length, policy.max_bytes - start)
    return Body(status, length, content_type, checked, start, total, strong_validator(headers))


def _check_length(chunks: Iterator[bytes], length: int | None, max_bytes: int) -> Iterator[bytes]:
    received = 0
    try:
        for chunk in chunks:
            received += len(chunk)
            if received > max_bytes:
                raise DownloadInterrupted(FaultKind.REFUSED, f"more than the limit of {max_bytes} bytes")
            yield chunk
    except StreamBroken as error:
        of = "" if length is None else f" of {length}"
        raise DownloadInterrupted(FaultKind.TRANSIENT, f"broken off after {received}{of} bytes: {error}") from error
    if length is not None and received != length:
        raise DownloadInterrupted(FaultKind.TRANSIENT, f"{received} bytes came, {length} were announced")


def _printable(header: str) -> str:
    """Return the beginning of a header for a message."""
    return "".join(char for char in header if "!" <= char <= "~")[:40]
