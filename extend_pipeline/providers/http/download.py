"""Fetching a result: one streamed GET, with a policy of where it may go, and no credentials, cookies or headers of
ours.

URLs come from upstream answers, so each of them, redirects included, is checked as if a stranger had written it.
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
_GONE: Final = frozenset({401, 403, 404, 410})  # what object stores say of a signature that is past its time
_NO_VIDEO: Final = ("text/html", "application/xhtml", "application/json", "application/xml", "text/xml")


class FaultKind(StrEnum):
    """What to do about a download that failed."""

    EXPIRED = "expired"  # ask the provider for a fresh URL
    TRANSIENT = "transient"  # try again
    REFUSED = "refused"  # against the policy: a person has to look


@dataclass(frozen=True, slots=True)
class PrivateHost:
    """A host that may lie in a private network: its name, the port where the account is asked, and whether http was
    written."""

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

    `hosts` are host names or patterns: `*.example.com` is every host below example.com but not itself, `*` every named
    host; None is any public host. `http` allows addresses without TLS. With `allow_local`, loopback hosts are allowed
    although they are not listed, and over http. `private` is the account's own host and may lie in a private network:
    it is allowed although it is not listed, over http where the account is asked over http; a redirect leads there
    from itself alone. `is_film` judges the first bytes of an answer whose host calls it a page or a message: hosts are
    wrong about that.

    `silence_s` seconds may pass until the body begins, redirects included, and without a byte of it. A body may take
    as long as it keeps the pace: `least_bytes` in each `window_s` seconds, so that a byte a minute holds no worker.
    """

    hosts: tuple[str, ...] | None = None
    http: bool = False
    allow_local: bool = False
    private: PrivateHost | None = None
    route: Route = DIRECT
    max_bytes: int = 2_000_000_000
    silence_s: float = 60.0
    window_s: float = 120.0
    least_bytes: int = 65_536
    max_redirects: int = 3
    is_film: Callable[[bytes], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Body:
    """An answer that is being fetched. `chunks` raises DownloadInterrupted; it is read inside the `with` only.

    `content_length` bytes of it come, from byte `start` of the file on; the file has `total` bytes in all, and
    `validator` tells it from other versions. None where the server doesn't say.
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
    """No body, and why. The message has no query of the URL's in it: that may be a signature. `status` is the HTTP
    status of the answer; None where none came."""

    kind: FaultKind
    message: str
    status: int | None = None


class DownloadInterrupted(Exception):
    """A body ended before its end, or went on beyond what is allowed."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


@contextmanager
def open_download(url: str, policy: DownloadPolicy, resume: Resume | None = None) -> Iterator[Body | Fault | NoRange]:
    """Open a result for reading. Yields a Body, or a Fault where there is none; what is left unread is dropped at the
    end. With `resume` only the rest of the file is asked for: the Body may begin at 0 all the same, and NoRange is
    yielded where the answer neither continues the file nor brings all of it."""
    with ExitStack() as stack:
        yield _open(url, policy, resume, stack)


def check_url(url: str, policy: DownloadPolicy, *, private: bool = True) -> tuple[UrlParts, AddressPolicy] | Fault:
    """Return where a URL leads and which addresses it may lead to, or why it isn't fetched. Pure: no name is looked up.
    Without `private`, as for a redirect from another host, the policy's private host is one like any other."""
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
    # refused without a look-up; a name that resolves to such an address is refused at the connection
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
    """Return whether a host is meant by a pattern. An address is only ever meant by itself, written out."""
    pattern = pattern.lower().strip("[]").removesuffix(".")
    if parse_address(host) is not None or not pattern.startswith("*"):
        return host == pattern
    return pattern == "*" or (pattern.startswith("*.") and host.endswith(pattern[1:]) and host != pattern[2:])


def _open(url: str, policy: DownloadPolicy, resume: Resume | None, stack: ExitStack) -> Body | Fault | NoRange:
    clock = _Clock(policy.silence_s)
    pace = Pace(policy.least_bytes, policy.window_s)
    ask = None if resume is None else resume.headers()
    inside = True  # a stranger's redirect must not lead into a private network
    for _ in range(policy.max_redirects + 1):
        checked = check_url(url, policy, private=inside)
        if isinstance(checked, Fault):
            return checked
        target, reach = checked
        hop = stack.enter_context(ExitStack())
        answer = hop.enter_context(
            open_stream(
                target,
                reach=reach,
                route=policy.route,
                deadline_s=clock.left(),
                idle_s=policy.silence_s,
                pace=pace,
                headers=ask,
            )
        )
        match answer:
            case NotSent(reason=reason, refused=refused):
                return Fault(FaultKind.REFUSED if refused else FaultKind.TRANSIENT, f"{target.host}: {reason}")
            case NoResponse(reason=reason):
                return Fault(FaultKind.TRANSIENT, f"{target.host}: {reason}")
            case Stream(status=status, headers=headers) if status in _REDIRECTS and "location" in headers:
                hop.close()
                inside = policy.private is not None and target.host == policy.private.host and inside
                try:
                    url = urljoin(url, headers["location"])
                except ValueError:
                    return Fault(FaultKind.REFUSED, f"{target.host} redirects to something that is no URL")
            case Stream():
                return _body(answer, target, policy, resume)
    return Fault(FaultKind.REFUSED, f"more than {policy.max_redirects} redirects")


def _body(answer: Stream, target: UrlParts, policy: DownloadPolicy, resume: Resume | None) -> Body | Fault | NoRange:
    status, headers = answer.status, answer.headers
    if status in _GONE:
        return Fault(FaultKind.EXPIRED, f"{target.host} answers HTTP {status}: the URL has expired or is gone", status)
    if resume is not None and status == 416:
        return nothing_follows(resume, headers)
    if status != 200 and (status != 206 or resume is None):
        return Fault(FaultKind.TRANSIENT, f"{target.host} answers HTTP {status}", status)
    content_type = headers.get("content-type", "").split(";")[0].strip().lower()
    chunks = answer.chunks
    if content_type.startswith(_NO_VIDEO):
        try:
            first = next(chunks, b"")
        except StreamBroken:
            first = b""
        chunks = chain([first], chunks)
    if content_type.startswith(_NO_VIDEO) and not policy.is_film(first):
        what = "an HTML page" if "html" in content_type else _word(content_type)
        return Fault(FaultKind.TRANSIENT, f"{target.host} sent {what} instead of a video", status)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return Fault(
            FaultKind.TRANSIENT, f"{target.host} sent the video compressed ({_word(encoding)}) unasked", status
        )
    written = headers.get("content-length", "")
    length = int(written) if written.isascii() and written.isdigit() and len(written) < 19 else None
    start, total = 0, length
    if resume is not None and status == 206:
        continued = continuation(resume, headers)
        if isinstance(continued, NoRange) or length not in (None, continued.length):
            return NoRange(None)
        start, length, total = resume.offset, continued.length, continued.total or resume.total
    if (total or start) > policy.max_bytes:
        return Fault(FaultKind.REFUSED, f"{total or start} bytes; the limit is {policy.max_bytes}")
    kept = _guarded(chunks, length, policy.max_bytes - start)
    return Body(status, length, content_type, kept, start, total, strong_validator(headers))


def _guarded(chunks: Iterator[bytes], length: int | None, max_bytes: int) -> Iterator[bytes]:
    taken = 0
    try:
        for chunk in chunks:
            taken += len(chunk)
            if taken > max_bytes:
                raise DownloadInterrupted(FaultKind.REFUSED, f"more than the limit of {max_bytes} bytes")
            yield chunk
    except StreamBroken as error:
        of = "" if length is None else f" of {length}"
        raise DownloadInterrupted(FaultKind.TRANSIENT, f"broken off after {taken}{of} bytes: {error}") from error
    if length is not None and taken != length:
        raise DownloadInterrupted(FaultKind.TRANSIENT, f"{taken} bytes came, {length} were announced")


def _word(header: str) -> str:
    """Return the beginning of a header, to be repeated to a person."""
    return "".join(char for char in header if "!" <= char <= "~")[:40]


class _Clock:
    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def left(self) -> float:
        return max(self._ends - time.monotonic(), 0.0)
