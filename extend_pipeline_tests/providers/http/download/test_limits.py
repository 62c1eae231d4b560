"""Downloads that end too early, are too slow or grow too large."""

from __future__ import annotations

import socket
import time

import pytest

from extend_pipeline.providers.http.download import (
    Body,
    DownloadInterrupted,
    DownloadPolicy,
    FaultKind,
    open_download,
)
from extend_pipeline_tests.providers.http.download.fetching import MP4, fault, interrupted
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    cut,
    raw_server,
    silence,
)


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
