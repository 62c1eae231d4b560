"""Downloads: where they may go, and what a bad server can do."""

from __future__ import annotations

import socket
import time

import pytest

from extend_pipeline.providers.http.download import (
    Body,
    DownloadInterrupted,
    DownloadPolicy,
    Fault,
    FaultKind,
    check_url,
    host_matches,
    open_download,
)
from extend_pipeline.providers.http.guard import AddressPolicy, UrlParts
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    cut,
    hang_up,
    in_turn,
    raw_server,
    silence,
    unused_port,
)
from extend_pipeline_tests.support.user_texts import check_user_text

ANY = DownloadPolicy()
REAL = DownloadPolicy(hosts=("*.klingai.com", "cdn.example.com", "203.0.113.9"))
LOCAL = DownloadPolicy(hosts=("*.klingai.com",), allow_local=True, idle_timeout_s=2)
MP4 = {"Content-Type": "video/mp4"}


def fault(url: str, policy: DownloadPolicy = LOCAL) -> Fault:
    with open_download(url, policy) as outcome:
        assert isinstance(outcome, Fault), outcome
        return outcome


def read(url: str, policy: DownloadPolicy = LOCAL) -> bytes:
    with open_download(url, policy) as outcome:
        assert isinstance(outcome, Body), outcome
        return b"".join(outcome.chunks)


def interrupted(url: str, policy: DownloadPolicy = LOCAL) -> DownloadInterrupted:
    with pytest.raises(DownloadInterrupted) as caught:
        read(url, policy)
    return caught.value


def raw_bytes(data: bytes) -> Script:
    """Return a script that sends these bytes only."""

    def script(_server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(data)

    return script


# The policy


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://v1.klingai.com/a.mp4", "v1.klingai.com", 443),
        ("https://a.b.KLINGAI.com/a", "a.b.klingai.com", 443),
        ("https://v1.klingai.com./a", "v1.klingai.com", 443),
        ("https://cdn.example.com:8443/a", "cdn.example.com", 8443),
    ],
)
def test_listed_hosts_are_fetched_from_over_https(url: str, host: str, port: int) -> None:
    checked = check_url(url, REAL)
    assert not isinstance(checked, Fault)
    target, reach = checked
    assert (target.scheme, target.host, target.port, reach) == ("https", host, port, AddressPolicy.PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "http://v1.klingai.com/a", "https://klingai.com/a", "https://evilklingai.com/a", "https://v1.klingai.com.evil.example/a",
        "https://cdn.example.com.evil.example/", "https://x.cdn.example.com/", "https://evil.example/v1.klingai.com",
        "https://evil.example/?h=.klingai.com", "https://v1.klingai.com@evil.example/", "https://evil.example#.klingai.com",
        "https://evil.example\\.klingai.com/", "https://v1.klingai.com:22/a", "https://v1.klingai.com:0/a",
        "https://127.0.0.1/a", "https://localhost/a", "https://[::1]/a", "https://169.254.169.254/latest", "https://10.0.0.1/",
        "https://2130706433/", "https://0x7f.1/", "https://[::ffff:127.0.0.1]/", "https://8.8.8.8/", "ftp://v1.klingai.com/a",
        "file:///etc/passwd", "gopher://v1.klingai.com/", "//v1.klingai.com/a", "v1.klingai.com/a", "", "https://v1。klingai。com/a",
    ],
)  # fmt: skip
def test_everything_else_is_refused_without_a_look_up(url: str) -> None:
    checked = check_url(url, REAL)
    assert isinstance(checked, Fault)
    assert checked.kind is FaultKind.REFUSED


@pytest.mark.parametrize(
    ("url", "policy", "host"),
    [
        ("https://files.reseller.example/a.mp4?X-Amz-Signature=1", ANY, "files.reseller.example"),
        ("https://8.8.8.8:8443/a", ANY, "8.8.8.8"),
        ("http://files.reseller.example/a.mp4", DownloadPolicy(http=True), "files.reseller.example"),
        ("http://8.8.8.8:8080/a.mp4", DownloadPolicy(http=True), "8.8.8.8"),
        ("http://a.klingai.com/a.mp4", DownloadPolicy(hosts=("*.klingai.com",), http=True), "a.klingai.com"),
    ],
)
def test_any_public_host_is_fetched_from_by_default_and_http_where_it_is_allowed(
    url: str, policy: DownloadPolicy, host: str
) -> None:
    checked = check_url(url, policy)
    assert not isinstance(checked, Fault)
    assert (checked[0].host, checked[1]) == (host, AddressPolicy.PUBLIC)


@pytest.mark.parametrize("policy", [ANY, DownloadPolicy(http=True), DownloadPolicy(hosts=("*",), http=True)])
@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a", "https://localhost/a", "https://[::1]/a", "https://169.254.169.254/latest", "https://10.0.0.1/",
        "http://127.0.0.1:8080/a", "http://192.168.1.1/", "https://[fd00::1]/", "https://100.64.0.1/", "https://0.0.0.0/",
        "https://2130706433/", "https://0x7f.1/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::a00:1]/", "ftp://a.example/a",
        "file:///etc/passwd", "//a.example/a", "a.example/a", "", "https://intranet/a", "https://metadata.google.internal/a",
        "https://files.home.arpa/", "https://printer.local/", "https://a.example:22/a", "http://a.example:443/a",
        "https://a.example:80/a", "https://a.example:0/", "https://ann:pw@a.example/", "https://a.example\\@b.example/",
    ],
)  # fmt: skip
def test_any_host_means_public_hosts_only(url: str, policy: DownloadPolicy) -> None:
    checked = check_url(url, policy)
    assert isinstance(checked, Fault)
    assert checked.kind is FaultKind.REFUSED


@pytest.mark.parametrize("policy", [ANY, DownloadPolicy(allow_local=True)])
def test_http_is_refused_unless_the_account_allows_it(policy: DownloadPolicy) -> None:
    checked = check_url("http://cdn.reseller.example/a.mp4", policy)
    assert isinstance(checked, Fault)
    check_user_text(checked.message)


@pytest.mark.parametrize(
    "location", ["http://cdn.reseller.example/b.mp4", "https://10.0.0.1/b.mp4", "https://intranet/"]
)
def test_a_redirect_is_checked_by_the_same_rules_where_any_host_is_allowed(location: str) -> None:
    with raw_server(always(answer(302, b"", {"Location": location}))) as server:
        assert fault(server.base_url, DownloadPolicy(allow_local=True)).kind is FaultKind.REFUSED
        assert len(server.requests) == 1


def test_an_unlisted_host_without_tls_is_fetched_from_and_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extend_pipeline.providers.http.guard.is_public", lambda _address: True)
    monkeypatch.setattr(
        "extend_pipeline.providers.http.guard.socket.getaddrinfo",
        lambda _h, port, *_a, **_k: [(2, 1, 6, "", ("127.0.0.1", port))],
    )
    with raw_server(always(answer(200, b"film", MP4))) as server:
        assert read(f"http://cdn.reseller.example:{server.port}/a.mp4", DownloadPolicy(http=True)) == b"film"
        for name in ("authorization", "cookie", "referer", "origin"):
            assert server.header(name) is None


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080/a", True), ("http://127.1.2.3/a", True), ("http://localhost:1/a", True),
        ("http://[::1]:9/a", True),
        ("https://127.0.0.1:8080/a", True), ("http://10.0.0.1/a", False), ("http://192.168.0.1/a", False),
        ("http://169.254.169.254/a", False), ("http://0.0.0.0/a", False), ("http://[::ffff:127.0.0.1]/a", False),
        ("http://v1.klingai.com/a", False), ("http://127.1/a", False), ("http://localhost.evil.example/a", False),
        ("https://evil.example/a", False),
    ],
)  # fmt: skip
def test_allow_local_opens_loopback_and_nothing_else(url: str, allowed: bool) -> None:
    checked = check_url(url, LOCAL)
    assert isinstance(checked, Fault) is not allowed
    if not isinstance(checked, Fault):
        assert checked[1] is AddressPolicy.LOOPBACK


@pytest.mark.parametrize(
    ("host", "pattern", "matches"),
    [
        ("a.klingai.com", "*.klingai.com", True), ("a.b.klingai.com", "*.KlingAI.com", True),
        ("klingai.com", "*.klingai.com", False), ("xklingai.com", "*.klingai.com", False), ("a.b", "*", True),
        ("8.8.8.8", "*", False),
        ("8.8.8.8", "8.8.8.8", True),
        ("8.8.8.8", "*.8.8.8", False), ("2606:4700::1111", "[2606:4700::1111]", True), ("a.b", "a.b.", True),
        ("a.klingai.com", "*klingai.com", False), ("a.klingai.com", "a.*.com", False),
    ],
)  # fmt: skip
def test_patterns_mean_hosts_below_a_name(host: str, pattern: str, matches: bool) -> None:
    assert host_matches(host, pattern) is matches


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
def test_a_listed_name_with_an_inner_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(
        "extend_pipeline.providers.http.guard.socket.getaddrinfo", lambda *_a, **_k: [(2, 1, 6, "", (address, 443))]
    )
    for policy in (DownloadPolicy(hosts=("*.klingai.com",), allow_local=True), ANY, DownloadPolicy(http=True)):
        outcome = fault("https://v1.klingai.com/a.mp4", policy)
        assert outcome.kind is FaultKind.REFUSED
        check_user_text(outcome.message)


# Bodies


def test_a_video_is_read_in_chunks_and_no_credential_is_sent() -> None:
    video = bytes(range(256)) * 4000
    with raw_server(always(answer(200, video, MP4))) as server:
        with open_download(f"{server.base_url}/a.mp4?sig=1", LOCAL) as outcome:
            assert isinstance(outcome, Body)
            assert (outcome.status, outcome.content_length, outcome.content_type) == (200, len(video), "video/mp4")
            pieces = list(outcome.chunks)
        assert len(pieces) > 1
        assert b"".join(pieces) == video
        assert server.asked() == ("GET", "/a.mp4?sig=1")
        assert server.header("accept-encoding") == "identity"
        for name in ("authorization", "cookie", "referer", "origin"):
            assert server.header(name) is None


def test_a_body_may_be_abandoned() -> None:
    with (
        raw_server(always(answer(200, b"x" * 3_000_000, MP4))) as server,
        open_download(server.base_url, LOCAL) as outcome,
    ):
        assert isinstance(outcome, Body)
        assert next(outcome.chunks)


def test_a_body_without_a_length_is_read_to_its_end() -> None:
    def unmeasured(server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\nabc")
        hang_up(server, connection, 0)

    with raw_server(unmeasured) as server, open_download(server.base_url, LOCAL) as outcome:
        assert isinstance(outcome, Body)
        assert outcome.content_length is None
        assert b"".join(outcome.chunks) == b"abc"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_expired_url_is_reported_as_expired(status: int) -> None:
    with raw_server(always(answer(status, b"<Error>AccessDenied</Error>"))) as server:
        outcome = fault(f"{server.base_url}/a.mp4?Signature=abcdef")
    assert outcome.kind is FaultKind.EXPIRED
    assert "Signature" not in outcome.message


@pytest.mark.parametrize("status", [204, 206, 304, 400, 408, 429, 500, 502, 503])
def test_other_answers_are_worth_another_try(status: int) -> None:
    with raw_server(always(answer(status))) as server:
        assert fault(server.base_url).kind is FaultKind.TRANSIENT


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "Application/JSON", "application/xml"])
def test_a_page_instead_of_a_video_is_worth_another_try(kind: str) -> None:
    with raw_server(always(answer(200, b"<html>", {"Content-Type": kind}))) as server:
        outcome = fault(server.base_url)
    assert outcome.kind is FaultKind.TRANSIENT
    check_user_text(outcome.message)


def test_an_unrequested_compression_is_not_taken_for_a_video() -> None:
    with raw_server(always(answer(200, b"xx", {**MP4, "Content-Encoding": "gzip"}))) as server:
        assert "compressed" in fault(server.base_url).message


def test_a_refused_connection_is_worth_another_try() -> None:
    assert fault(f"http://127.0.0.1:{unused_port()}/a").kind is FaultKind.TRANSIENT


@pytest.mark.parametrize(
    "script",
    [
        cut(answer(200, b"x" * 1000, MP4)[:-300]),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        lambda s, c, _: (c.sendall(answer(200, b"x" * 1000, MP4)[:-300]), s.stopping.wait()),
    ],
    ids=["shorter than announced", "chunks without an end", "silent in the middle"],
)
def test_a_body_that_ends_before_its_end_is_an_interruption(script: Script) -> None:
    with raw_server(script) as server:
        began = time.monotonic()
        error = interrupted(server.base_url, DownloadPolicy(hosts=(), allow_local=True, idle_timeout_s=0.3))
        assert time.monotonic() - began < 0.8
    assert error.kind is FaultKind.TRANSIENT
    assert "broken off" in error.message


def test_a_dribbled_body_ends_where_it_is_slower_than_the_pace() -> None:
    def dribble(server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        server.dribble(connection, b"x" * 9999)

    with raw_server(dribble) as server:
        began = time.monotonic()
        error = interrupted(server.base_url, DownloadPolicy(hosts=(), allow_local=True, window_s=0.5))
        assert time.monotonic() - began < 0.8
    assert "0.5 s" in error.message


def test_dribbled_headers_end_at_the_deadline() -> None:
    slow: Script = lambda s, c, _: s.dribble(c, answer(200, b"x", {"X-Pad": "y" * 5000}))  # noqa: E731
    with raw_server(slow) as server:
        began = time.monotonic()
        outcome = fault(server.base_url, DownloadPolicy(hosts=(), allow_local=True, idle_timeout_s=0.5))
        assert time.monotonic() - began < 0.8
    assert outcome.kind is FaultKind.TRANSIENT


def test_silence_ends_at_the_idle_limit() -> None:
    with raw_server(silence) as server:
        began = time.monotonic()
        outcome = fault(server.base_url, DownloadPolicy(hosts=(), allow_local=True, idle_timeout_s=0.3))
        assert outcome.kind is FaultKind.TRANSIENT
        assert time.monotonic() - began < 0.6


def test_a_body_announced_too_large_is_refused() -> None:
    with raw_server(always(answer(200, b"x" * 2000, MP4))) as server:
        outcome = fault(server.base_url, DownloadPolicy(hosts=(), allow_local=True, max_bytes=1999))
    assert outcome.kind is FaultKind.REFUSED


def test_a_body_that_grows_too_large_is_stopped() -> None:
    def endless(server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n")
        while not server.stopping.is_set():
            connection.sendall(b"x" * 65536)

    with (
        raw_server(endless) as server,
        open_download(server.base_url, DownloadPolicy(hosts=(), allow_local=True, max_bytes=300_000)) as outcome,
    ):
        assert isinstance(outcome, Body)
        taken: list[int] = []
        with pytest.raises(DownloadInterrupted) as caught:
            taken.extend(len(piece) for piece in outcome.chunks)
        assert 0 < sum(taken) <= 300_000
    assert caught.value.kind is FaultKind.REFUSED


# Redirects


def test_a_redirect_is_followed_after_it_was_checked() -> None:
    with raw_server(always(answer(200, b"film", MP4))) as target:
        moves = always(answer(302, b"", {"Location": f"{target.base_url}/b.mp4"}))
        with raw_server(moves) as origin:
            assert read(f"{origin.base_url}/a.mp4") == b"film"
        assert target.asked() == ("GET", "/b.mp4")


def test_a_relative_redirect_stays_on_its_host() -> None:
    with raw_server(in_turn(answer(307, b"", {"Location": "../c.mp4"}), answer(200, b"film", MP4))) as server:
        assert read(f"{server.base_url}/x/y/a.mp4") == b"film"
        assert server.asked() == ("GET", "/x/c.mp4")


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data", "https://evil.example/a", "http://v1.klingai.com/a", "file:///etc/passwd",
        "ftp://127.0.0.1/", "https://user@v1.klingai.com/", "http://10.0.0.1/", "http://127.1/", "//evil.example/a", "https://[::1/",
    ],
)  # fmt: skip
def test_a_redirect_to_a_forbidden_place_is_refused(location: str) -> None:
    with raw_server(always(answer(302, b"", {"Location": location}))) as server:
        assert fault(server.base_url).kind is FaultKind.REFUSED
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json " + b"x" * 50_000 + b" canary" + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header https://cdn.example/a.mp4?sig=canary " + b"x" * 50_000 + b"\r\n\r\n",
        b"x" * 50_000 + b" canary\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhttps://cdn.example/a.mp4?sig=canary\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://cdn.example:canary/a.mp4\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://ann:canary@\xe2\x84\x80.example/a.mp4\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: " + b"x" * 9_000 + b":canary\r\n\r\n",
    ],
    ids=["type", "header", "status", "chunk", "port", "user", "scheme"],
)
def test_an_invalid_response_is_quoted_shortly_and_without_a_signature(head: bytes) -> None:
    with raw_server(raw_bytes(head)) as server:
        url = f"{server.base_url}/a.mp4?sig=ours"
        message = interrupted(url).message if b"chunked" in head else fault(url).message
    assert 20 < len(message) < 400
    assert "canary" not in message
    assert "ours" not in message


def test_redirects_end_after_three() -> None:
    with raw_server(always(answer(302, b"", {"Location": "/again"}))) as server:
        outcome = fault(server.base_url)
        assert len(server.requests) == 4
    assert outcome.kind is FaultKind.REFUSED
    assert "redirects" in outcome.message


def test_a_redirect_without_a_location_is_worth_another_try() -> None:
    with raw_server(always(answer(302))) as server:
        assert fault(server.base_url).kind is FaultKind.TRANSIENT


def test_the_deadline_holds_over_all_redirects() -> None:
    def slow(server: RawServer, connection: socket.socket, index: int) -> None:
        server.stopping.wait(0.2)
        connection.sendall(answer(302, b"", {"Location": f"/{index}"}))

    with raw_server(slow) as server:
        began = time.monotonic()
        outcome = fault(
            server.base_url, DownloadPolicy(hosts=(), allow_local=True, idle_timeout_s=0.5, max_redirects=20)
        )
        assert time.monotonic() - began < 0.8
    assert outcome.kind is FaultKind.TRANSIENT


def test_an_explicit_target_is_what_was_checked() -> None:
    checked = check_url("https://v1.klingai.com/a%20b.mp4?x=1#t=5", REAL)
    assert not isinstance(checked, Fault)
    assert checked[0] == UrlParts("https", "v1.klingai.com", 443, "/a%20b.mp4?x=1")
