"""TLS with a certificate made for the test: the name is checked and sent, although the connection is to an address."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extend_pipeline.providers.http import trust
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.download import Body, DownloadPolicy, Fault, FaultKind, open_download
from extend_pipeline.providers.http.results import NotSent, Reply
from extend_pipeline_tests.providers.http.raw_server import answer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Yield a self-signed certificate for localhost, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


def read_request(connection: ssl.SSLSocket) -> None:
    """Read a complete request, because closing before its end resets the connection before the response is read."""
    received = b""
    while b"\r\n\r\n" not in received and (more := connection.recv(65536)):
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *([0-9]+)", head)
    missing = int(length.group(1)) - len(body) if length else 0
    while missing > 0 and (more := connection.recv(65536)):
        missing -= len(more)


@contextmanager
def tls_server(certificate: Path, names: list[str | None]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def serve(listener: socket.socket) -> None:
        try:
            with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                read_request(connection)
                connection.sendall(answer(200, b"{}", {"Content-Type": "video/mp4"}))
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


@pytest.fixture
def _trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trust.load_context.cache_clear()
    yield
    trust.load_context.cache_clear()


@pytest.mark.usefixtures("_trusting")
def test_the_name_is_checked_and_sent_along(certificate: Path) -> None:
    names: list[str | None] = []
    with tls_server(certificate, names) as port:
        client = HttpClient(f"https://localhost:{port}", allow_local=True)
        result = client.post_json("/x", {}, headers={}, deadline_s=5)
    assert isinstance(result, Reply)
    assert names == ["localhost"]
    with (
        tls_server(certificate, names) as port,
        open_download(f"https://localhost:{port}/a", DownloadPolicy(hosts=(), allow_local=True)) as outcome,
    ):
        assert isinstance(outcome, Body)
        assert b"".join(outcome.chunks) == b"{}"


@pytest.mark.usefixtures("_trusting")
def test_a_certificate_for_another_name_is_unsent(certificate: Path) -> None:
    with tls_server(certificate, []) as port:
        client = HttpClient(f"https://127.0.0.1:{port}", allow_local=True)
        result = client.post_json("/x", {}, headers={"authorization": "Bearer t"}, deadline_s=5)
    assert isinstance(result, NotSent)
    assert "certificate" in result.reason


def test_an_untrusted_certificate_is_unsent(certificate: Path) -> None:
    with tls_server(certificate, []) as port:
        client = HttpClient(f"https://localhost:{port}", allow_local=True)
        assert isinstance(client.post_json("/x", {}, headers={}, deadline_s=5), NotSent)
    with (
        tls_server(certificate, []) as port,
        open_download(f"https://localhost:{port}/a", DownloadPolicy(hosts=(), allow_local=True)) as outcome,
    ):
        assert isinstance(outcome, Fault)
        assert outcome.kind is FaultKind.REFUSED  # the operator has to act: another try won't differ
