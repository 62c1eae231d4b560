"""A gateway in a private network: its host is reached, over http too, and no other host there is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.download import (
    Body,
    DownloadPolicy,
    Fault,
    FaultKind,
    PrivateHost,
    check_url,
    open_download,
)
from extend_pipeline.providers.http.guard import AddressPolicy, UrlParts
from extend_pipeline.providers.http.results import NotSent, Reply
from extend_pipeline.providers.http.route import Route
from extend_pipeline_tests.providers.http.raw_server import RawServer, always, answer, raw_server

PRIVATE = Route(private=True)
OWN = PrivateHost("new-api", 3000, http=True)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Yield the addresses of names, which replace the resolver."""
    known: dict[str, str] = {"new-api": "127.0.0.1"}
    really = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host[0].isdigit():  # a connection to an address resolves it too
            return really(host, port, *args, **options)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def server() -> Iterator[RawServer]:
    """Yield the gateway's server."""
    with raw_server(always(answer(200, b"{}", {"Content-Type": "video/mp4"}))) as running:
        yield running


def get(base_url: str, route: Route = PRIVATE) -> object:
    client = HttpClient(base_url, route=route)
    try:
        return client.get("/v1/x", headers={"authorization": "Bearer t"}, deadline_s=5)
    finally:
        client.close()


def test_a_private_name_is_reached_over_http(names: dict[str, str], server: RawServer) -> None:
    assert isinstance(get(f"http://new-api:{server.port}"), Reply)
    assert server.header("host") == f"new-api:{server.port}"
    with pytest.raises(ValueError, match="https"):
        HttpClient(f"http://new-api:{server.port}")


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "8.8.8.8", "0.0.0.0"])
def test_a_name_that_leads_elsewhere_gets_no_key_over_http(names: dict[str, str], address: str) -> None:
    names["new-api"] = address
    result = get("http://new-api:3000")
    assert isinstance(result, NotSent)
    assert result.refused
    assert address in result.reason


@pytest.mark.parametrize(
    ("url", "reach"),
    [
        ("http://new-api:3000/a.mp4", AddressPolicy.PRIVATE),
        ("http://NEW-API:9000/a.mp4", AddressPolicy.PRIVATE),
        ("http://new-api/a.mp4", AddressPolicy.PRIVATE),
        ("https://new-api/a.mp4", AddressPolicy.PUBLIC_OR_PRIVATE),
        ("https://cdn.example/a.mp4", AddressPolicy.PUBLIC),
    ],
)
def test_files_of_the_host_may_be_private_and_all_others_not(url: str, reach: AddressPolicy) -> None:
    checked = check_url(url, DownloadPolicy(private=OWN, hosts=("cdn.example",)))
    assert isinstance(checked, tuple)
    assert checked[1] is reach


@pytest.mark.parametrize(
    "url",
    [
        "http://new-api:22/a.mp4", "http://new-api:25/a.mp4", "http://redis:6379/", "http://192.168.1.10/a.mp4",
        "https://10.0.0.1/a.mp4", "http://169.254.169.254/latest/meta-data", "http://127.0.0.1:3000/a.mp4",
        "http://new-api.evil.example/a.mp4", "http://cdn.example/a.mp4", "http://user@new-api:3000/a.mp4",
    ],
)  # fmt: skip
def test_other_hosts_and_services_are_refused(url: str) -> None:
    checked = check_url(url, DownloadPolicy(private=OWN))
    assert isinstance(checked, Fault)
    assert checked.kind is FaultKind.REFUSED


def test_http_is_allowed_only_where_it_is_configured() -> None:
    own = PrivateHost.of("https://gateway.lan")
    assert isinstance(check_url("http://gateway.lan/a.mp4", DownloadPolicy(private=own)), Fault)
    assert isinstance(check_url("https://gateway.lan/a.mp4", DownloadPolicy(private=own)), tuple)


def test_a_foreign_redirect_does_not_lead_to_the_gateway() -> None:
    assert isinstance(check_url("http://new-api:3000/api/user", DownloadPolicy(private=OWN), private=False), Fault)


@pytest.mark.parametrize(
    ("location", "fetched"),
    [
        (lambda port: f"http://new-api:{port}/b.mp4", True),
        (lambda port: "/b.mp4", True),
        (lambda port: f"http://minio:{port}/b.mp4", False),
        (lambda port: f"http://127.0.0.1:{port}/b.mp4", False),
        (lambda port: "http://169.254.169.254/latest", False),
        (lambda port: f"https://cdn.example:{port}/b.mp4", False),
    ],
    ids=["itself", "path", "another", "address", "metadata", "rebinding"],
)
def test_a_redirect_of_the_gateway_leads_to_itself_or_to_public_addresses(
    names: dict[str, str], location: Callable[[int], str], fetched: bool
) -> None:
    names |= {"minio": "127.0.0.1", "cdn.example": "127.0.0.1"}

    def script(raw: RawServer, connection: socket.socket, index: int) -> None:
        moved = answer(302, b"", {"Location": location(raw.port)})
        film = answer(200, b"film", {"Content-Type": "video/mp4"})
        connection.sendall(moved if raw.line().startswith("GET /a.mp4") else film)

    with raw_server(script) as server:
        own = PrivateHost("new-api", server.port, http=True)
        url = f"http://new-api:{server.port}/a.mp4"
        with open_download(url, DownloadPolicy(private=own, idle_timeout_s=3)) as outcome:
            assert isinstance(outcome, Body if fetched else Fault)
            if isinstance(outcome, Fault):
                assert outcome.kind is FaultKind.REFUSED
        assert len(server.requests) == (2 if fetched else 1)


def test_a_target_is_read_alike_everywhere() -> None:
    checked = check_url("http://New-API.:3000/a", DownloadPolicy(private=OWN))
    assert isinstance(checked, tuple)
    assert checked[0] == UrlParts("http", "new-api", 3000, "/a")
