"""A webhook receiver on this machine: it keeps what it gets, and replies as it is ordered to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from extend_pipeline_tests.support.servers.serving import serving


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its path with the query, its headers with lower-case names, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """Return the body as JSON."""
        message: dict[str, Any] = json.loads(self.body)
        return message


@dataclass
class Script:
    """What the receiver does: its status, the headers and the body of its response, and an event that each response
    waits for."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait: threading.Event | None = None


class Receiver(ThreadingHTTPServer):
    """Replies as `script` says."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Request] = []
        self.script = Script()

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return the messages of all requests, also of those that were refused."""
        return [request.message for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.path, headers, body))
        script = self.server.script
        if script.wait is not None:
            script.wait.wait(60)
        try:
            self.send_response(script.status)
            for name, value in {"content-length": str(len(script.body)), **script.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(script.body)
        except OSError:  # the sender reads no more than it needs
            return

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Yield a running receiver."""
    with serving(Receiver()) as server:
        yield server
