"""Redirects of a download: each is checked like the first URL, and they end after three or at the deadline."""

from __future__ import annotations

import socket
import time

import pytest

from extend_pipeline.providers.http.download import (
    DownloadPolicy,
    FaultKind,
)
from extend_pipeline_tests.providers.http.download.fetching import MP4, fault, read
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    always,
    answer,
    in_turn,
    raw_server,
)


@pytest.mark.parametrize(
    "location", ["http://cdn.reseller.example/b.mp4", "https://10.0.0.1/b.mp4", "https://intranet/"]
)
def test_a_redirect_is_checked_by_the_same_rules_where_any_host_is_allowed(location: str) -> None:
    with raw_server(always(answer(302, b"", {"Location": location}))) as server:
        assert fault(server.base_url, DownloadPolicy(allow_local=True)).kind is FaultKind.REFUSED
        assert len(server.requests) == 1


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
