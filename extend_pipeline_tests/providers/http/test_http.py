"""The HTTP client against real sockets: what counts as sent, what a deadline holds, how much is read."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.results import HttpResult, NoResponse, NotSent, Reply
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    cut,
    hang_up,
    raw_server,
    silence,
    unused_port,
)

SLACK_S = 0.3
TCP_FIN_WAIT_1 = 4  # of Linux's tcp_states.h


@contextmanager
def client(script: Script) -> Iterator[tuple[HttpClient, RawServer]]:
    with raw_server(script) as server:
        http = HttpClient(server.base_url, allow_local=True)
        try:
            yield http, server
        finally:
            http.close()


def post(http: HttpClient, deadline_s: float = 5.0) -> HttpResult:
    return http.post_json("/submit", {"a": "ü"}, headers={"authorization": "Bearer t"}, deadline_s=deadline_s)


def get(http: HttpClient, deadline_s: float = 5.0) -> HttpResult:
    return http.get("/task", params={"pageNum": 1}, headers={}, deadline_s=deadline_s)


def test_a_whole_answer_comes_back_with_lower_case_headers() -> None:
    with client(always(answer(201, b"{}", {"X-Request-ID": "r1", "x-twice": "a", "X-Twice": "b"}))) as (
        http,
        server,
    ):
        reply = post(http)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body, reply.truncated) == (201, b"{}", False)
    assert reply.headers["x-request-id"] == "r1"
    assert server.asked() == ("POST", "/submit")
    assert json.loads(server.body()) == {"a": "ü"}
    assert server.header("host") == f"127.0.0.1:{server.port}"
    assert server.header("accept-encoding") == "identity"
    assert str(server.header("user-agent")).startswith("extend-pipeline/")
    assert server.header("authorization") == "Bearer t"


def test_a_base_path_and_parameters_are_put_together() -> None:
    with raw_server(always(answer(200, b"{}"))) as server:
        http = HttpClient(server.base_url + "/kling/", allow_local=True)
        http.get("/v1/x", params={"pageNum": 2, "q": "a b"}, headers={}, deadline_s=5)
        http.close()
    assert server.asked() == ("GET", "/kling/v1/x?pageNum=2&q=a+b")


def test_every_post_has_a_connection_of_its_own_and_gets_share_one() -> None:
    with client(always(answer(200, b"{}"))) as (http, server):
        post(http)
        post(http)
        assert server.connections == 2
        get(http)
        get(http)
        get(http)
        assert server.connections == 3
        post(http)
        assert server.connections == 4


def test_a_pooled_connection_that_the_server_closed_is_not_reused() -> None:
    closed = threading.Event()

    def respond_once(server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.sendall(answer(200, b"{}"))
        connection.shutdown(socket.SHUT_WR)
        # the client's end has acknowledged the close once the server's end has left this state
        while connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_FIN_WAIT_1:
            if server.stopping.is_set():
                return
        closed.set()

    with client(respond_once) as (http, server):
        assert isinstance(get(http), Reply)
        assert closed.wait(5)
        closed.clear()
        assert isinstance(get(http), Reply)
        assert server.connections == 2


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with raw_server(always(answer(200, b"{}"))) as elsewhere:
        moved = answer(307, b"", {"Location": f"{elsewhere.base_url}/submit"})
        with client(always(moved)) as (http, server):
            assert getattr(post(http), "status", None) == 307
            assert getattr(get(http), "status", None) == 307
            assert len(server.requests) == 2
        assert elsewhere.connections == 0


def test_proxies_and_netrc_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    with client(always(answer(200, b"{}"))) as (http, _):
        assert isinstance(post(http), Reply)


def test_a_refused_connection_is_provably_unsent() -> None:
    http = HttpClient(f"http://127.0.0.1:{unused_port()}", allow_local=True)
    result = post(http)
    assert isinstance(result, NotSent)
    assert "refused" in result.reason.lower()


def test_a_name_that_does_not_exist_is_provably_unsent() -> None:
    result = post(HttpClient("https://no-such-host.invalid"))
    assert isinstance(result, NotSent)
    assert "no-such-host.invalid" in result.reason


def test_a_failed_tls_handshake_is_provably_unsent() -> None:
    def speak_plainly(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer(400))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak_plainly, args=(listener,))
        thread.start()
        result = post(HttpClient(f"https://127.0.0.1:{listener.getsockname()[1]}", allow_local=True), deadline_s=3)
        thread.join(5)
    assert isinstance(result, NotSent)
    assert "ssl" in result.reason.lower()


def test_a_tls_handshake_that_never_ends_is_unsent_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        result = post(HttpClient(f"https://127.0.0.1:{listener.getsockname()[1]}", allow_local=True), deadline_s=0.4)
    assert isinstance(result, NotSent)
    assert 0.35 <= time.monotonic() - began < 0.4 + SLACK_S


def test_a_slow_name_server_is_unsent_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def slow(*_args: object, **_more: object) -> list[object]:
        released.wait(20)
        return []

    monkeypatch.setattr("extend_pipeline.providers.http.guard.socket.getaddrinfo", slow)
    began = time.monotonic()
    result = post(HttpClient("https://slow.example.com"), deadline_s=0.3)
    duration_s = time.monotonic() - began
    released.set()
    assert isinstance(result, NotSent)
    assert duration_s < 0.3 + SLACK_S


def test_a_private_address_behind_a_public_name_is_refused_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(host: str, port: int, **_more: object) -> list[object]:
        return [(2, 1, 6, "", ("8.8.8.8", port)), (2, 1, 6, "", ("10.0.0.7", port))]

    monkeypatch.setattr("extend_pipeline.providers.http.guard.socket.getaddrinfo", resolve)
    result = post(HttpClient("https://api.example.com"))
    assert isinstance(result, NotSent)
    assert result.refused
    assert "10.0.0.7" in result.reason


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    reached: list[tuple[str, int]] = []

    def resolve(host: str, port: int, **_more: object) -> list[object]:
        looked_up.append(host)
        return [(2, 1, 6, "", ("93.184.216.34" if len(looked_up) == 1 else "127.0.0.1", port))]

    def connect(address: tuple[str, int], **_more: object) -> socket.socket:
        reached.append(address)
        raise ConnectionRefusedError("stop here")

    monkeypatch.setattr("extend_pipeline.providers.http.guard.socket.getaddrinfo", resolve)
    monkeypatch.setattr("extend_pipeline.providers.http.sockets.socket.create_connection", connect)
    assert isinstance(post(HttpClient("https://rebind.example.com")), NotSent)
    assert looked_up == ["rebind.example.com"]
    assert reached == [("93.184.216.34", 443)]


@pytest.mark.parametrize(
    ("behaviour", "script"),
    [
        ("is silent", silence),
        ("dribbles its headers", lambda s, c, _: s.dribble(c, answer(200, b"{}", {"X-Pad": "x" * 4000}))),
        ("goes on with 100 Continue", lambda s, c, _: s.dribble(c, b"HTTP/1.1 100 Continue\r\n\r\n" * 500)),
        (
            "dribbles its body",
            lambda s, c, _: (
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
                s.dribble(c, b"x" * 9999),
            ),
        ),
        (
            "dribbles chunks",
            lambda s, c, _: (
                c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                s.dribble(c, b"1\r\nx\r\n" * 999),
            ),
        ),
    ],
)
@pytest.mark.parametrize("method", [post, get])
def test_the_deadline_ends_a_call(behaviour: str, script: Script, method: object) -> None:
    with client(script) as (http, server):
        began = time.monotonic()
        result = method(http, 0.5)  # type: ignore[operator]
        duration_s = time.monotonic() - began
        assert isinstance(result, NoResponse), behaviour
        assert 0.45 <= duration_s < 0.5 + SLACK_S
        assert len(server.requests) == 1
    assert "0.5 s" in result.reason


def test_a_deadline_of_zero_sends_nothing() -> None:
    with client(silence) as (http, server):
        assert isinstance(post(http, 0.0), NotSent)
        assert server.requests == []


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        (hang_up, None, b""),
        (cut(b"SSH-2.0-OpenSSH_9.6\r\n"), None, b""),
        (cut(answer(200, b'{"code":0}')[:-3]), 200, b'{"code"'),
        (
            cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n"),
            200,
            b"abcde",
        ),
    ],
    ids=["closed without a response", "not HTTP", "cut short", "broken chunks"],
)
def test_a_broken_answer_is_lost_and_what_came_is_kept(script: Script, status: int | None, body: bytes) -> None:
    with client(script) as (http, server):
        result = post(http)
        assert isinstance(result, NoResponse)
        assert (result.status, result.body) == (status, body)
        assert server.connections == 1


def test_a_reset_after_the_request_is_lost() -> None:
    def reset(_server: RawServer, connection: socket.socket, _index: int) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()

    with client(reset) as (http, _):
        assert isinstance(post(http), NoResponse)


def test_a_body_stops_at_a_megabyte() -> None:
    with client(always(answer(200, b"x" * 1_500_000))) as (http, _):
        reply = get(http)
    assert isinstance(reply, Reply)
    assert reply.truncated
    assert len(reply.body) == 1_000_000


def test_a_gzip_bomb_is_stopped_early() -> None:
    bomb = gzip.compress(bytes(100_000_000), 1)
    with client(always(answer(200, bomb, {"Content-Encoding": "gzip"}))) as (http, _):
        began = time.monotonic()
        reply = get(http)
    assert isinstance(reply, Reply)
    assert reply.truncated
    assert len(reply.body) == 1_000_000
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"code":0}', mtime=0)),
        ("deflate", zlib.compress(b'{"code":0}')),
        ("GZIP", gzip.compress(b'{"code":0}', mtime=0)),
    ],
)
def test_compression_that_was_not_requested_is_undone(encoding: str, packed: bytes) -> None:
    with client(always(answer(200, packed, {"Content-Encoding": encoding}))) as (http, _):
        reply = get(http)
    assert isinstance(reply, Reply)
    assert reply.body == b'{"code":0}'


def test_broken_compression_is_an_empty_body() -> None:
    with client(always(answer(200, b"no gzip at all", {"Content-Encoding": "gzip"}))) as (http, _):
        reply = get(http)
    assert isinstance(reply, Reply)
    assert reply.body == b""


@pytest.mark.parametrize(
    ("url", "allow_local"),
    [
        ("http://api.example.com", False),
        ("http://127.0.0.1:1", False),
        ("ftp://api.example.com", True),
        ("https://user:pass@api.example.com", False),
        ("https://api.example.com?x=1", False),
        ("https://api.example.com#x", False),
        ("https://0x7f.1", False),
        ("https://", False),
        ("", True),
        ("https://api.example.com/ x", False),
    ],
)
def test_a_base_url_that_may_not_be_used_is_refused_at_once(url: str, allow_local: bool) -> None:
    with pytest.raises(ValueError, match="base URL"):
        HttpClient(url, allow_local=allow_local)


@pytest.mark.parametrize("url", ["http://10.1.2.3", "http://192.168.1.1", "http://169.254.169.254", "http://8.8.8.8"])
def test_allow_local_means_loopback_and_nothing_else(url: str) -> None:
    result = post(HttpClient(url, allow_local=True), deadline_s=2)
    assert isinstance(result, NotSent)
    assert result.refused


def test_without_allow_local_loopback_is_refused() -> None:
    result = post(HttpClient("https://127.0.0.1:9"), deadline_s=2)
    assert isinstance(result, NotSent)
    assert result.refused


@pytest.mark.parametrize("path", ["https://evil.example/x", "x", "/a b", "/ü", "/a\r\nX: y"])
def test_a_call_names_a_path_and_never_another_origin(path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        HttpClient("https://api.example.com").get(path, headers={}, deadline_s=1)


def test_a_header_with_a_line_break_is_not_sent() -> None:
    with client(always(answer(200))) as (http, server):
        result = http.get("/x", headers={"authorization": "Bearer a\r\nX-Evil: 1"}, deadline_s=2)
        assert isinstance(result, NotSent)
        assert server.requests == []


def test_many_threads_share_the_client() -> None:
    results: list[HttpResult] = []
    with client(always(answer(200, b"{}"))) as (http, server):
        threads = [threading.Thread(target=lambda: results.extend(get(http) for _ in range(10))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(results) == 80
        assert all(isinstance(result, Reply) for result in results)
        assert server.connections <= 80
