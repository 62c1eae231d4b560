"""A company's own CA, a certificate that it signed, and a TLS proxy that presents it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

needs_openssl: Final = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
ISSUER: Final = "Harbour Studio Root CA"
_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Company:
    """`ca` is the CA's certificate (PEM), `server` a key and a certificate that it signed: for localhost,
    127.0.0.1 and *.reseller.example."""

    ca: Path
    server: Path


def make_company(folder: Path) -> Company:
    """Make a CA and a certificate with two runs of openssl."""
    names = "subjectAltName=DNS:localhost,DNS:*.reseller.example,IP:127.0.0.1"
    new = ["req", "-x509", *_KEY, "-days", "2"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", names]
    for command in (
        [*new, "-subj", f"/O=Harbour Studio/CN={ISSUER}", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "-subj", "/CN=localhost", *signed, "-keyout", "server.key", "-out", "server.crt"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    key_and_certificate = folder / "server.pem"
    key_and_certificate.write_bytes((folder / "server.key").read_bytes() + (folder / "server.crt").read_bytes())
    return Company(folder / "ca.pem", key_and_certificate)


@contextmanager
def tls_before(certificate: Path, port: int) -> Iterator[int]:
    """Serve TLS before a port of this machine; yield the port. A client that doesn't trust it gets no response.

    Requests without TLS are passed on too. A header names the scheme to the server behind, as proxies do, so that the
    sandbox uses it in the addresses of its files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            tls = connection.recv(1, socket.MSG_PEEK) == b"\x16"
            with (
                context.wrap_socket(connection, server_side=True) if tls else connection as outer,
                socket.create_connection(("127.0.0.1", port)) as inner,
            ):
                pump(outer, inner, header=b"X-Forwarded-Proto: https\r\n" if tls else b"")

    with served(serve) as listening:
        yield listening


@contextmanager
def served(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """Pass each connection to `serve` on a new thread until the block ends; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def pump(outer: socket.socket, inner: socket.socket, *, header: bytes = b"") -> None:
    """Carry bytes both ways until one side ends; add the line `header` to each request of `outer`."""

    def carry(source: socket.socket, sink: socket.socket, line: bytes = b"") -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(65536):
                sink.sendall(data.replace(b"\r\nuser-agent: ", b"\r\n" + line + b"user-agent: ", 1) if line else data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=carry, args=(inner, outer), daemon=True)
    back.start()
    carry(outer, inner, header)
    back.join(5)
