"""A server that takes connections and requests, and never replies."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from extend_pipeline_tests.support.servers.serving import serving


class SilentServer(socketserver.ThreadingTCPServer):
    """Reads what is sent and counts the POSTs."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts = 0
        self.counting = threading.Lock()

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    server: SilentServer

    def handle(self) -> None:
        read = self.request.recv(65_536)
        if read.startswith(b"POST "):  # a request without a reply is the only one of its connection
            with self.server.counting:
                self.server.posts += 1
        while read:
            read = self.request.recv(65_536)


@contextmanager
def running_silent_server() -> Iterator[SilentServer]:
    """Yield a running server."""
    with serving(SilentServer()) as server:
        yield server
