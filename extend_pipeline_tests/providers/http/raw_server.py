"""A server of bare sockets for responses that no HTTP library would send: slow, cut, endless, missing or wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """The server's port, its number of connections and every request that it received."""

    port: int
    stopping: threading.Event
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def header(self, name: str, index: int = -1) -> str | None:
        """Return a header of a request, or None where it was not sent."""
        head = self.requests[index].split(b"\r\n\r\n")[0].decode("latin-1")
        for line in head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None

    def line(self, index: int = -1) -> str:
        """Return the first line of a request."""
        return self.requests[index].split(b"\r\n")[0].decode("latin-1")

    def asked(self, index: int = -1) -> tuple[str, str]:
        """Return a request's method and target."""
        method, target, _ = self.line(index).split(" ")
        return method, target

    def body(self, index: int = -1) -> bytes:
        return self.requests[index].split(b"\r\n\r\n", 1)[1]

    def dribble(self, connection: socket.socket, data: bytes, every_s: float = 0.02) -> None:
        """Send byte by byte, until done or the test is over."""
        for byte in data:
            if self.stopping.wait(every_s):
                return
            connection.sendall(bytes([byte]))


Script = Callable[[RawServer, socket.socket, int], None]
"""A function that responds to one request: it gets the server, the connection and the request's index, from 0."""


def answer(status: int = 200, body: bytes | dict[str, object] = b"", headers: dict[str, str] | None = None) -> bytes:
    """Return a complete HTTP response."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Length": str(len(content)), "Content-Type": "application/json", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode("latin-1") + content


def always(data: bytes) -> Script:
    """Return a script that sends the same bytes for every request."""
    return lambda _server, connection, _index: connection.sendall(data)


def in_turn(*answers: bytes) -> Script:
    """Return a script that sends one response after the other; the last repeats."""
    return lambda _server, connection, index: connection.sendall(answers[min(index, len(answers) - 1)])


@contextmanager
def raw_server(script: Script) -> Iterator[RawServer]:
    """Serve on loopback until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(listener.getsockname()[1], threading.Event())
        threads: list[threading.Thread] = []
        open_connections: list[socket.socket] = []

        def accept() -> None:
            while not server.stopping.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                server.connections += 1
                open_connections.append(connection)
                thread = threading.Thread(target=_serve, args=(server, connection, script), daemon=True)
                threads.append(thread)
                thread.start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield server
        finally:
            server.stopping.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)
            for connection in open_connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)
            for connection in open_connections:
                connection.close()


def _serve(server: RawServer, connection: socket.socket, script: Script) -> None:
    with contextlib.suppress(OSError):
        while request := _read_request(connection):
            index = len(server.requests)
            server.requests.append(request)
            script(server, connection, index)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(row.split(b":")[1]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length")),
        0,
    )
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


def hang_up(_server: RawServer, connection: socket.socket, _index: int) -> None:
    """Close the connection without a response."""
    connection.shutdown(socket.SHUT_RDWR)


def cut(data: bytes) -> Script:
    """Return a script that sends these bytes and closes the connection."""

    def script(server: RawServer, connection: socket.socket, index: int) -> None:
        connection.sendall(data)
        hang_up(server, connection, index)

    return script


def silence(server: RawServer, _connection: socket.socket, _index: int) -> None:
    """Send no response until the test is over."""
    server.stopping.wait()


def unused_port() -> int:
    """Return a port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
