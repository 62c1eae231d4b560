"""Forward proxies: a real one (tinyproxy) where this machine has it, and a small one that records its requests.

Public names lead to servers of the test: a name of `routes` is connected to its port on loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from extend_pipeline_tests.support.servers.company_ca import pump, served

TINYPROXY: Final = shutil.which("tinyproxy") or shutil.which("tinyproxy", path="/usr/bin:/usr/sbin")
needs_tinyproxy: Final = pytest.mark.skipif(TINYPROXY is None, reason="no tinyproxy here (Debian: tinyproxy)")


@dataclass
class ForwardProxy:
    """The small proxy as a test sees it: its port, and the heads of its requests."""

    port: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """The first lines of the requests."""
        return [head.split("\r\n")[0] for head in self.heads]


@contextmanager
def forward_proxy(routes: Mapping[str, int], *, answer: str | None = None) -> Iterator[ForwardProxy]:
    """Serve CONNECT for the names (or addresses) of `routes`, each to a port of loopback; 403 for others. With `answer`
    every request gets that response instead."""
    proxy = ForwardProxy()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
                head += more
            proxy.heads.append(head.decode("latin-1"))
            target = proxy.asked[-1].split(" ")[1].rpartition(":")[0].strip("[]")
            if answer is not None or target not in routes:
                connection.sendall((answer or "HTTP/1.1 403 Forbidden\r\n\r\n").encode("latin-1"))
                return
            with socket.create_connection(("127.0.0.1", routes[target])) as inner:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                pump(connection, inner)

    with served(serve) as port:
        proxy.port = port
        yield proxy


@contextmanager
def tinyproxy(folder: Path, *, upstream: int, login: str | None = None) -> Iterator[int]:
    """Run a tinyproxy and yield its port; it forwards to the proxy at port `upstream`, which resolves the names."""
    assert TINYPROXY is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 50", f'LogFile "{folder}/log"']
    lines.append(f"Upstream http 127.0.0.1:{upstream}")
    if login is not None:
        lines.append("BasicAuth " + login.replace(":", " "))
    (folder / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [TINYPROXY, "-d", "-c", str(folder / "tinyproxy.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "tinyproxy ended"
                assert time.monotonic() < deadline, "tinyproxy doesn't listen"
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)
