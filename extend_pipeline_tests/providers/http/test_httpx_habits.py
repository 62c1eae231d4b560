"""What httpx does by default and must not do: headers, cookies, redirects, quoting, logging."""

from __future__ import annotations

import ast
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import extend_pipeline
from extend_pipeline.providers.http.client import HttpClient, open_stream
from extend_pipeline.providers.http.guard import AddressPolicy, UrlParts
from extend_pipeline.providers.http.results import NotSent, Reply, Stream
from extend_pipeline_tests.providers.http.raw_server import RawServer, always, answer, raw_server

SECRET = "X-Signature=canary0123456789"
COOKIES = {"Set-Cookie": "sid=canary; Path=/; Max-Age=3600", "set-cookie": "plain=canary"}


@pytest.fixture
def server() -> Iterator[RawServer]:
    moved = {**COOKIES, "Location": f"https://cdn.example.com/a.mp4?{SECRET}", "X-Name": "grün"}
    with raw_server(always(answer(302, b"{}", moved))) as running:
        yield running


@pytest.fixture
def http(server: RawServer) -> Iterator[HttpClient]:
    client = HttpClient(server.base_url, allow_local=True)
    yield client
    client.close()


def get(http: HttpClient, path: str = "/task") -> Reply:
    result = http.get(path, headers={}, deadline_s=5)
    assert isinstance(result, Reply)
    return result


def post(http: HttpClient) -> Reply:
    result = http.post_json("/submit", {}, headers={}, deadline_s=5)
    assert isinstance(result, Reply)
    return result


def download(server: RawServer, target: str) -> Stream:
    with open_stream(
        UrlParts("http", "127.0.0.1", server.port, target), allowed=AddressPolicy.LOOPBACK, deadline_s=5, idle_s=5
    ) as stream:
        assert isinstance(stream, Stream)
        assert b"".join(stream.chunks) == b"{}"
        return stream


def header_names(server: RawServer, index: int) -> set[str]:
    head = server.requests[index].split(b"\r\n\r\n")[0].decode("ascii")
    return {line.partition(":")[0].lower() for line in head.split("\r\n")[1:]}


def test_only_own_headers_are_sent(server: RawServer, http: HttpClient) -> None:
    get(http)
    post(http)
    download(server, "/a")
    ours = {"host", "user-agent", "accept-encoding"}
    assert header_names(server, 0) == ours
    assert header_names(server, 1) == ours | {"content-type", "content-length", "connection"}
    assert header_names(server, 2) == ours | {"connection"}


def test_a_cookie_is_not_sent_back(server: RawServer, http: HttpClient) -> None:
    for _ in range(2):
        assert "sid=canary" in get(http).headers["set-cookie"]
        assert "sid=canary" in post(http).headers["set-cookie"]
        download(server, "/a")
    assert len(server.requests) == 6
    assert all(server.header("cookie", index) is None for index in range(6))


@pytest.mark.parametrize("location", ["https://[::1/", "http://x:port/", "https://a.example/\u00fc\x7f", ""])
def test_a_redirect_to_something_unreadable_is_still_an_answer(location: str) -> None:
    with raw_server(always(answer(307, b"{}", {"Location": location}))) as server:
        http = HttpClient(server.base_url, allow_local=True)
        assert (get(http).status, post(http).status) == (307, 307)
        assert get(http).headers["location"] == location
        http.close()


def test_header_values_are_read_as_latin_1(http: HttpClient) -> None:
    assert get(http).headers["x-name"] == "grün"


@pytest.mark.parametrize(
    "target", ["/a%7eb/../c;d?x=%2F&y=a+b&z='|\"{}", "//twice//?", "/%zz%?a=[1]&a=^`<>", "/?" + "x" * 70_000]
)
def test_a_path_is_sent_unchanged(server: RawServer, http: HttpClient, target: str) -> None:
    get(http, target)
    download(server, target)
    assert [server.line(0), server.line(1)] == [f"GET {target} HTTP/1.1"] * 2


@pytest.mark.parametrize("host", ["xn--a", "xn--zzzz.example.com", "_a.example.com", "1-2-3-4", "[64:ff9b::7f00:1]"])
def test_httpx_accepts_every_host_that_the_guard_accepts(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = [(2, 1, 6, "", ("10.0.0.7", 443))]
    monkeypatch.setattr("extend_pipeline.providers.http.guard.socket.getaddrinfo", lambda *_, **__: inside)
    result = HttpClient(f"https://{host}").get("/x", headers={}, deadline_s=2)
    assert isinstance(result, NotSent)
    assert result.refused


def test_a_closed_client_opens_a_new_connection(server: RawServer, http: HttpClient) -> None:
    get(http)
    http.close()
    get(http)
    post(http)
    assert server.connections == 3


def test_a_pooled_connection_keeps_nothing_of_the_call_before(server: RawServer, http: HttpClient) -> None:
    assert isinstance(http.get("/a", headers={}, deadline_s=0.2), Reply)
    ends = time.monotonic() + 0.2
    while time.monotonic() < ends:
        pass  # the deadline of the first call passes
    get(http, "/b")
    result = http.get("/c", headers={"x": "a\r\nX-Evil: 1"}, deadline_s=5)
    assert isinstance(result, NotSent)
    assert result.refused
    assert (server.connections, len(server.requests)) == (1, 2)


def test_a_call_after_a_refused_connection_opens_a_new_one() -> None:
    def respond(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer(200, b"{}"))

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # without `listen` the system refuses connections
        http = HttpClient(f"http://127.0.0.1:{listener.getsockname()[1]}", allow_local=True)
        assert isinstance(http.get("/a", headers={}, deadline_s=5), NotSent)
        listener.listen()
        thread = threading.Thread(target=respond, args=(listener,), daemon=True)
        thread.start()
        get(http)
        thread.join(5)
        http.close()


def test_nothing_is_logged_even_where_the_root_logs_everything(
    server: RawServer, http: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("extend_pipeline").debug("seen")
        get(http, f"/task?{SECRET}")
        post(http)
        download(server, f"/a?{SECRET}")
    assert [record.getMessage() for record in caplog.records] == ["seen"]


def test_only_the_client_and_its_transport_import_an_http_library() -> None:
    root = Path(extend_pipeline.__file__).parent
    importing: dict[str, set[str]] = {}
    for path in (root / "providers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in {name.partition(".")[0] for name in names} & {"httpx", "httpcore"}:
                importing.setdefault(path.name, set()).add(name)
    assert importing == {"client.py": {"httpx"}, "transport.py": {"httpx", "httpcore"}}
