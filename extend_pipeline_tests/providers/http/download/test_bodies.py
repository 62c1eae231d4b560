"""What a download makes of a response: a video in chunks, an expired URL, or another try."""

from __future__ import annotations

import socket

import pytest

from extend_pipeline.providers.http.download import (
    Body,
    FaultKind,
    open_download,
)
from extend_pipeline_tests.providers.http.download.fetching import LOCAL, MP4, fault, interrupted
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    hang_up,
    raw_server,
    unused_port,
)
from extend_pipeline_tests.support.user_texts import check_user_text


def raw_bytes(data: bytes) -> Script:
    """Return a script that sends these bytes only."""

    def script(_server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(data)

    return script


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
