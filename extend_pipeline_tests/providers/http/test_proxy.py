"""Calls and downloads through an HTTP proxy: what it receives, what it never receives, and what its refusals mean."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from extend_pipeline.commands.doctor.account_checks import check_route
from extend_pipeline.commands.doctor.diagnostics import Level
from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.http import trust
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.download import Body, DownloadPolicy, Fault, FaultKind, PrivateHost, open_download
from extend_pipeline.providers.http.results import HttpResult, NoResponse, NotSent, Reply, Setting
from extend_pipeline.providers.http.retry import AttemptResult
from extend_pipeline.providers.http.route import Route
from extend_pipeline.providers.kling.models import KlingAccount
from extend_pipeline.providers.protocol import QueryFault, Rejected, RejectReason
from extend_pipeline.providers.wire.transport_outcome import classify_query, classify_submit
from extend_pipeline_tests.providers.http.raw_server import RawServer, always, answer, hang_up, raw_server, unused_port
from extend_pipeline_tests.support.servers.company_ca import Company, needs_openssl, tls_before
from extend_pipeline_tests.support.servers.forward_proxy import forward_proxy
from extend_pipeline_tests.support.user_texts import check_user_text

pytestmark = needs_openssl
NAME = "api.reseller.example"
PUBLIC_ADDRESS = "93.184.216.34"
VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    trust.load_context.cache_clear()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Yield the addresses of names, which replace the resolver: it resolves no public names, as behind many proxies."""
    known: dict[str, str] = {}
    really = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host[0].isdigit():
            return really(host, port, *args, **options)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def route(company: Company, proxy: object, **more: Any) -> Route:
    return Route(
        trust=str(company.ca), proxy=f"http://127.0.0.1:{proxy}" if isinstance(proxy, int) else str(proxy), **more
    )


BEARER = "Bearer secret-key"


def basic(log_in: str) -> str:
    """Return the value of a header that signs in by name and password."""
    return f"Basic {base64.b64encode(log_in.encode()).decode()}"


def post(through: Route, url: str = f"https://{NAME}") -> HttpResult:
    client = HttpClient(url, route=through)
    try:
        return client.post_json("/x", {"a": 1}, headers={"authorization": BEARER}, deadline_s=5)
    finally:
        client.close()


def test_https_goes_by_name_through_a_tunnel_and_the_proxy_sees_no_more(
    company: Company, port: int, backend: RawServer
) -> None:
    before = len(backend.requests)
    with forward_proxy({NAME: port}) as proxy:
        assert isinstance(post(route(company, proxy.port)), Reply)
        assert proxy.asked == [f"CONNECT {NAME}:443 HTTP/1.1"]
        assert "secret-key" not in proxy.heads[0]
        assert "proxy-authorization" not in proxy.heads[0].lower()
    assert len(backend.requests) == before + 1
    assert backend.header("authorization") == BEARER
    assert backend.header("proxy-authorization") is None


def test_gets_share_one_tunnel(company: Company, port: int) -> None:
    with forward_proxy({NAME: port}) as proxy:
        client = HttpClient(f"https://{NAME}", route=route(company, proxy.port))
        for _ in range(3):
            assert isinstance(client.get("/x", headers={}, deadline_s=5), Reply)
        client.close()
        assert len(proxy.asked) == 1


def test_a_login_is_read_at_each_use(company: Company, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with forward_proxy({NAME: port}) as proxy:
        through = route(company, proxy.port, login_env="PROXY_LOGIN")
        missing = post(through)
        assert isinstance(missing, NotSent)
        assert missing.setting is Setting.PROXY
        assert "PROXY_LOGIN" in missing.reason
        assert proxy.heads == []
        monkeypatch.setenv("PROXY_LOGIN", "ann:p@ss")
        assert isinstance(post(through), Reply)
        assert f"Proxy-Authorization: {basic('ann:p@ss')}" in proxy.heads[0]


@pytest.mark.parametrize(
    ("reply", "setting"),
    [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n<html>407</html>", Setting.PROXY),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", Setting.PROXY),
        ("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n", Setting.PROXY),
        ("SSH-2.0-OpenSSH_9\r\n\r\n", Setting.PROXY),
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}", Setting.PROXY),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", None),
        ("HTTP/1.1 504 Gateway Timeout\r\n\r\n", None),
        ("HTTP/1.1 500 Internal Server Error\r\n\r\n", None),
        ("HTTP/1.1 429 Too Many Requests\r\n\r\n", None),
        ("HTTP/1.1 200", None),
        ("", None),
    ],
)
def test_what_the_proxy_refuses_was_never_sent(company: Company, reply: str, setting: Setting | None) -> None:
    with forward_proxy({}, answer=reply or " ") as proxy:
        result = post(route(company, proxy.port))
    assert isinstance(result, NotSent), "money: a failed tunnel must never look like a lost response"
    assert result.setting is setting
    assert f"127.0.0.1:{proxy.port}" in result.reason
    rejected, query = classify_submit(result, ()), classify_query(result, ())
    assert isinstance(rejected, Rejected)
    assert rejected.reason is (RejectReason.PROXY if setting else RejectReason.UNSENT)
    assert isinstance(query, AttemptResult)
    assert query.outcome.fault is (QueryFault.PROXY if setting else QueryFault.UNREACHABLE)


def test_an_unreachable_proxy_is_named(company: Company) -> None:
    port = unused_port()
    result = post(route(company, port))
    assert isinstance(result, NotSent)
    assert not result.refused
    check_user_text(result.reason, without={f" {port}": " PORT"})


def test_a_request_that_left_through_the_tunnel_is_lost_and_not_unsent(company: Company) -> None:
    with (
        raw_server(hang_up) as server,
        tls_before(company.server, server.port) as listening,
        forward_proxy({NAME: listening}) as proxy,
    ):
        assert isinstance(post(route(company, proxy.port)), NoResponse)


@pytest.mark.parametrize("address", ["10.0.0.5", "127.0.0.1", "169.254.169.254", "100.100.100.200"])
def test_a_name_that_leads_inside_is_not_handed_over(company: Company, names: dict[str, str], address: str) -> None:
    names[NAME] = address
    with forward_proxy({NAME: 1}) as proxy:
        result = post(route(company, proxy.port))
        assert isinstance(result, NotSent)
        assert result.refused
        assert proxy.heads == []


@pytest.mark.parametrize(
    "url", ["https://10.0.0.5/a.mp4", "https://intranet/a.mp4", "https://x.internal/a.mp4", "https://169.254.169.254/"]
)
def test_a_private_address_or_name_is_not_handed_over_either(company: Company, url: str) -> None:
    with forward_proxy({}) as proxy:
        through = route(company, proxy.port)
        with open_download(url, DownloadPolicy(route=through)) as outcome:
            assert isinstance(outcome, Fault)
            assert outcome.kind is FaultKind.REFUSED
        result = post(through, url.rpartition("/")[0])
        assert isinstance(result, NotSent)
        assert result.refused
        assert proxy.heads == []


def test_a_download_goes_through_and_each_redirect_is_checked(company: Company, port: int) -> None:
    moved = answer(302, b"", {"Location": "https://10.0.0.5/b.mp4"})
    with (
        raw_server(always(moved)) as server,
        tls_before(company.server, server.port) as elsewhere,
        forward_proxy({NAME: port, "old.reseller.example": elsewhere}) as proxy,
    ):
        policy = DownloadPolicy(route=route(company, proxy.port), idle_timeout_s=5)
        with open_download(f"https://{NAME}/a.mp4", policy) as outcome:
            assert isinstance(outcome, Body)
            assert b"".join(outcome.chunks) == b"{}"
        with open_download("https://old.reseller.example/a.mp4", policy) as outcome:
            assert isinstance(outcome, Fault)
            assert outcome.kind is FaultKind.REFUSED
        assert proxy.asked == [f"CONNECT {host}:443 HTTP/1.1" for host in (NAME, "old.reseller.example")]


def test_without_tls_the_proxy_is_given_the_checked_address(
    company: Company, backend: RawServer, names: dict[str, str]
) -> None:
    url = "http://cdn.reseller.example/a.mp4"
    with forward_proxy({PUBLIC_ADDRESS: backend.port}) as proxy:
        policy = DownloadPolicy(route=route(company, proxy.port), http=True, idle_timeout_s=5)
        with open_download(url, policy) as outcome:
            assert isinstance(outcome, Fault), "the proxy could connect to an unchecked address"
        names["cdn.reseller.example"] = PUBLIC_ADDRESS
        with open_download(url, policy) as outcome:
            assert isinstance(outcome, Body)
        assert proxy.asked == [f"CONNECT {PUBLIC_ADDRESS}:80 HTTP/1.1"]
    assert backend.header("host") == "cdn.reseller.example"


def test_a_private_network_is_reached_directly(company: Company, backend: RawServer, names: dict[str, str]) -> None:
    names["new-api"] = "127.0.0.1"
    with forward_proxy({}) as proxy:
        through = route(company, proxy.port, private=True)
        assert isinstance(post(through, f"http://new-api:{backend.port}"), Reply)
        own = PrivateHost("new-api", backend.port, http=True)
        policy = DownloadPolicy(route=through, private=own, idle_timeout_s=5)
        with open_download(f"http://new-api:{backend.port}/a.mp4", policy) as outcome:
            assert isinstance(outcome, Body)
        client = HttpClient(backend.base_url, allow_local=True, route=through)
        assert isinstance(client.get("/x", headers={}, deadline_s=5), Reply)
        client.close()
        assert proxy.heads == []


def test_a_proxy_at_a_metadata_address_is_refused(company: Company) -> None:
    result = post(route(company, "http://169.254.169.254:80"))
    assert isinstance(result, NotSent)
    assert result.refused


def test_the_environment_counts_only_where_the_account_sets_it(
    company: Company, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy({NAME: port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:pw@127.0.0.1:{proxy.port}")
        assert isinstance(post(route(company, "none")), NotSent)
        assert proxy.heads == []
        assert isinstance(post(route(company, "environment")), Reply)
        assert basic("ann:pw") in proxy.heads[0]
        monkeypatch.setenv("NO_PROXY", ".reseller.example")
        assert isinstance(post(route(company, "environment")), NotSent)
        assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    "value",
    ["socks5://127.0.0.1:1080", "https://ann:canary@proxy:443", "http://a b", "http://x:y", "http://u:12/canary@p:1"],
)
def test_an_unsupported_proxy_of_the_environment_is_reported_without_its_password(
    company: Company, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    result = post(route(company, "environment"))
    assert isinstance(result, NotSent)
    assert result.setting is Setting.PROXY
    assert "HTTPS_PROXY" in result.reason
    assert "canary" not in result.reason


def account(**changes: Any) -> Account:
    keys = {"access_key_env": "AK", "secret_key_env": "SK"}
    return KlingAccount(name="k", base_url=changes.pop("base_url", f"https://{NAME}"), credentials=keys, **changes)


@pytest.mark.parametrize(
    ("changes", "variables", "level", "part"),
    [
        ({}, {}, Level.OK, "directly"),
        ({}, {"HTTPS_PROXY": "http://ann:canary@proxy:3128"}, Level.WARNING, "HTTPS_PROXY"),
        ({"proxy": "none"}, {"HTTPS_PROXY": "http://proxy:3128"}, Level.OK, "directly"),
        ({"proxy": "environment"}, {"HTTPS_PROXY": "http://ann:canary@proxy:3128"}, Level.OK, "http://proxy:3128"),
        ({"proxy": "environment"}, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": NAME}, Level.OK, "NO_PROXY"),
        ({"proxy": "http://proxy:3128"}, {}, Level.OK, "http://proxy:3128"),
        ({"proxy": "http://proxy", "proxy_login_env": "PROXY_LOGIN"}, {}, Level.PROBLEM, "PROXY_LOGIN"),
        ({"proxy": "environment"}, {"HTTPS_PROXY": "socks5://proxy:1080"}, Level.PROBLEM, "HTTPS_PROXY"),
        (
            {"proxy": "http://proxy", "network": "private", "base_url": "http://new-api:3000"},
            {},
            Level.OK,
            "own network",
        ),
    ],
)
def test_doctor_reports_the_route_of_an_account(
    changes: dict[str, Any], variables: dict[str, str], level: Level, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (finding,) = check_route(account(**changes))
    assert finding.level is level
    assert part in finding.message
    assert "canary" not in finding.message
