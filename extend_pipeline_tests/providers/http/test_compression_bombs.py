"""Small responses that decode to large ones: caps hold for decoded bytes, and a download is never decoded."""

from __future__ import annotations

import functools
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from extend_pipeline.providers.http.body import BODY_CAP, BodyBuffer
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.download import Body, DownloadPolicy, Fault, open_download
from extend_pipeline.providers.http.results import HttpResult, NoResponse, Reply
from extend_pipeline.providers.wire.json import NotJson, read_json
from extend_pipeline_tests.providers.http.raw_server import RawServer, always, answer, raw_server

DECODED = 200_000_000
PEAK = 12_000_000  # bytes that a response may take in memory: several times the cap, and far below its decoded size


@functools.cache
def zeros(wbits: int = 31) -> bytes:
    """Return 200 MB of zeros, compressed: as gzip, or as `wbits` of zlib says."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(DECODED // 1_000_000)), packer.flush()])


BOMBS: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "gzip": ("gzip", zeros),
    "x-gzip": ("x-gzip", zeros),
    "deflate": ("deflate", lambda: zeros(15)),
    "many small members": ("gzip", lambda: gzip.compress(bytes(100_000)) * 5_000),
    "gzip in gzip": ("gzip", lambda: gzip.compress(zeros())),
    "gzip twice by name": ("gzip, gzip", lambda: gzip.compress(zeros())),
    "a coding that is not known": ("br", lambda: bytes(range(256)) * 8_000),
    "a document that goes on for ever": ("gzip", lambda: gzip.compress(b'{"code":0,"data":"' + b"a" * 50_000_000)),
    "blocks of nothing": ("gzip", lambda: gzip.compress(b"")[:10] + b"\x00\x00\x00\xff\xff" * 2_000_000),
    "a name without an end": ("gzip", lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 5_000_000),
}
"""Content coding and body, by name; made by the test that sends it, since they take seconds."""


@contextmanager
def compressed_server(encoding: str, body: bytes) -> Iterator[tuple[HttpClient, RawServer]]:
    with raw_server(always(answer(200, body, {"Content-Encoding": encoding}))) as server:
        http = HttpClient(server.base_url, allow_local=True)
        try:
            yield http, server
        finally:
            http.close()


def call(http: HttpClient, method: str) -> HttpResult:
    if method == "GET":
        return http.get("/task", headers={}, deadline_s=10)
    return http.post_json("/submit", {}, headers={}, deadline_s=10)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_response_never_becomes_larger_than_its_cap(name: str, method: str) -> None:
    encoding, make = BOMBS[name]
    body = make()
    with compressed_server(encoding, body) as (http, server):
        tracemalloc.start()
        try:
            result = call(http, method)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert server.header("accept-encoding") == "identity"
    assert isinstance(result, Reply)
    assert len(result.body) <= BODY_CAP
    assert peak < PEAK
    assert isinstance(read_json(result.body), NotJson), "and nothing is read out of a part of it"


@pytest.mark.parametrize("size", [1, 7, 1_000, 65_536])
def test_the_cap_holds_however_small_the_pieces_are(size: int) -> None:
    buffer = BodyBuffer(encoding="gzip", cap=10_000)
    bomb, taken = zeros(), 0
    for at in range(0, len(bomb), size):
        taken += size
        if not buffer.feed(bomb[at : at + size]):
            break
        assert len(buffer.data) <= 10_000
    assert buffer.truncated
    assert len(buffer.data) == 10_000
    assert taken <= max(size, 2_000), "it stops at the cap, and not at the end"


@pytest.mark.parametrize(
    "encoding", ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "gzip, gzip", "identity, gzip"]
)
def test_a_compressed_download_is_refused_before_its_body_is_read(encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "video/mp4"}
    policy = DownloadPolicy(hosts=(), allow_local=True)
    with (
        raw_server(always(answer(200, zeros(), headers))) as server,
        open_download(server.base_url, policy) as outcome,
    ):
        assert isinstance(outcome, Fault)
        assert "compressed" in outcome.message


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "deflate", "identity, gzip"])
def test_a_compressed_transfer_coding_is_no_response(coding: str) -> None:
    """Send a transfer coding, which belongs to the connection; no header contains such a body's length."""

    def script(_server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n".encode() + zeros())

    with raw_server(script) as server:
        http = HttpClient(server.base_url, allow_local=True)
        assert isinstance(call(http, "POST"), NoResponse)
        http.close()
        with open_download(server.base_url, DownloadPolicy(hosts=(), allow_local=True)) as outcome:
            assert isinstance(outcome, Fault)


def test_a_download_that_hides_its_compression_is_counted_as_it_came() -> None:
    with (
        raw_server(always(answer(200, zeros(), {"Content-Type": "video/mp4"}))) as server,
        open_download(server.base_url, DownloadPolicy(hosts=(), allow_local=True)) as outcome,
    ):
        assert isinstance(outcome, Body)
        assert sum(map(len, outcome.chunks)) == len(zeros())


def test_endless_headers_are_no_response() -> None:
    def script(server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.stopping.is_set():
            connection.sendall(b"X-Pad: " + b"y" * 60_000 + b"\r\n")

    with raw_server(script) as server:
        http = HttpClient(server.base_url, allow_local=True)
        tracemalloc.start()
        assert isinstance(call(http, "GET"), NoResponse)
        assert tracemalloc.get_traced_memory()[1] < PEAK
        tracemalloc.stop()
        http.close()
