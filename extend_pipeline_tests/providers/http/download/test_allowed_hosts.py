"""Where a download may go: listed hosts or any public one, over https, and loopback only where it is allowed."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.http.download import (
    DownloadPolicy,
    Fault,
    FaultKind,
    check_url,
    host_matches,
)
from extend_pipeline.providers.http.guard import AddressPolicy, UrlParts
from extend_pipeline_tests.providers.http.download.fetching import ANY, LOCAL, MP4, REAL, fault, read
from extend_pipeline_tests.providers.http.raw_server import (
    always,
    answer,
    raw_server,
)
from extend_pipeline_tests.support.user_texts import check_user_text


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


def test_an_explicit_target_is_what_was_checked() -> None:
    checked = check_url("https://v1.klingai.com/a%20b.mp4?x=1#t=5", REAL)
    assert not isinstance(checked, Fault)
    assert checked[0] == UrlParts("https", "v1.klingai.com", 443, "/a%20b.mp4?x=1")
