"""Stand in front of a sandbox, so that its films come slowly or its calls fail."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

PIECES: Final = 40  # of a film that comes slowly; no pause between two of them is as long as a download may be silent
ERROR: Final = json.dumps({"code": 5000, "message": "internal error"}).encode()
_OF_ONE_CONNECTION: Final = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


@dataclass
class _Faults:
    """What a relay does to the calls that it passes on. Several threads count them."""

    film_s: float
    fails_each: int
    stop: threading.Event
    calls: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def next_fails(self) -> bool:
        """Count a call, and return whether it fails."""
        with self._lock:
            self.calls += 1
            return self.fails_each > 0 and self.calls % self.fails_each == 0


@contextmanager
def relay(target: str, *, film_s: float = 0, fails_each: int = 0) -> Iterator[str]:
    """Pass calls on to the server at `target`: yield the address to use instead. A film takes `film_s` seconds; of so
    many calls the last one gets status 500 and is not passed on (0: all are)."""
    faults = _Faults(film_s, fails_each, threading.Event())
    handler = type("Handler", (_Relay,), {"target": urlsplit(target).netloc, "faults": faults})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        faults.stop.set()
        server.shutdown()
        server.server_close()


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: str
    faults: _Faults

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def log_message(self, format: str, *_arguments: object) -> None:
        """Write nothing."""

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with suppress(OSError):
            if self.faults.next_fails():
                self._send(500, [("Content-Type", "application/json")], ERROR)
            else:
                self._send(*self._passed_on(body))

    def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        with closing(http.client.HTTPConnection(self.target, timeout=60)) as connection:
            # with the client's own `Host`, from which the sandbox takes the address of its films
            connection.request(self.command, self.path, body or None, dict(self.headers))
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        is_film = ("content-type", "video/mp4") in [(name.lower(), value) for name, value in headers]
        if not (is_film and self.faults.film_s):
            self.wfile.write(body)
            return
        size = -(-len(body) // PIECES)
        for start in range(0, len(body), size):
            if self.faults.stop.wait(self.faults.film_s / PIECES):
                self.close_connection = True
                return
            self.wfile.write(body[start : start + size])
