"""A receiver on a real port, homes whose accounts are called back, and requests to the receiver."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, select

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.sandbox.surface.callbacks import webhook_signature
from extend_pipeline.webhooks.counters import Counters
from extend_pipeline.webhooks.limits import Limits
from extend_pipeline.webhooks.server import Server, build_server, listen
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, eventually
from extend_pipeline_tests.support.home.every_provider import other_account, planted

SECRET_ENV: Final = "ENGINE_TEST_WEBHOOK_SECRET"
SECRET: Final = "whsec_" + base64.b64encode(b"twenty-four bytes of key").decode()
OTHER_SECRET: Final = "whsec_" + base64.b64encode(b"twenty-four other bytes.").decode()
QUICK: Final = Limits(min_response_s=0.0)  # only its own test waits for the delay that hides the duration of a commit

CALLED_BACK: Final[Mapping[str, Mapping[str, Any]]] = {
    "kling": {"submit_class": "C"},
    "kling-gateway": {"passes": ["callback_url"]},
    "luma": {},
}
"""The fields with which an account's attempts in doubt are cleared up by callbacks alone, by provider."""


@dataclass
class Receiver:
    """A receiver that is listening."""

    port: int
    server: Server
    counts: Counters
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the receiver, as accounts.yaml names it."""
        return f"http://127.0.0.1:{self.port}/hooks"

    def post(self, token: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST") -> int:
        """Send one request to a token's address, check the whole response and return its status."""
        return self.request(f"/hooks/{token}", body, headers, method)

    def request(
        self, path: str, body: bytes | None, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> int:
        """Send one request, assert that the response has no body and the one header, and return its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            assert response.read() == b""
            assert response.getheaders() == [("connection", "close")]
            return response.status
        finally:
            connection.close()

    def raw(self, *parts: bytes, within: float = 20.0) -> bytes:
        """Send bytes and return all that the receiver sends until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=within) as wire:
            response = b""
            with suppress(OSError):  # it may respond and close before it has read all
                for part in parts:
                    wire.sendall(part)
                wire.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while part := wire.recv(65_536):
                    response += part
            return response


@contextmanager
def receiving(
    pipeline: Pipeline,
    *,
    limits: Limits = QUICK,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Receiver]:
    """Run a receiver for an open home in a thread."""
    counts, ready, lines = Counters(), threading.Event(), []
    listener = listen("127.0.0.1", port)
    server = build_server(
        pipeline, limits=limits, environment=environment, on_ready=ready.set, log=lines.append, counts=counts
    )
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), name="receiver", daemon=True)
    thread.start()
    try:
        assert ready.wait(20)
        yield Receiver(listener.getsockname()[1], server, counts, lines)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive()


@contextmanager
def open_receiving(home: EngineHome, clock: Any = None, **options: Any) -> Iterator[Receiver]:
    """Run a receiver that opened the home itself, as the command does."""
    with home.open(clock) as pipeline, receiving(pipeline, **options) as receiver:
        yield receiver


def called_back_account(provider: str, base_url: str, port: int, *, signed: bool = False, **changes: Any) -> Any:
    """Return an account of the sandbox that asks for callbacks to a port of this machine."""
    callbacks = {"url": f"http://127.0.0.1:{port}/hooks"} | ({"secret_env": SECRET_ENV} if signed else {})
    build = account if provider == "kling" else lambda url, **fields: other_account(provider, url, **fields)
    return build(base_url, **{"callbacks": callbacks, **CALLED_BACK[provider], **changes})


def called_back_home(
    home: EngineHome, provider: str, port: int, count: int = 1, *, signed: bool = False, **changes: Any
) -> list[dict[str, Any]]:
    """Write a home with `count` videos of one provider, whose account is called back; return the entries."""
    if provider == "kling":
        entries = home.seeded(count)
    else:
        entries = [planted(home, provider, number) for number in range(count)]
    home.write(entries, called_back_account(provider, home.sandbox.base_url, port, signed=signed, **changes))
    return entries


def tokens_of(pipeline: Pipeline) -> list[str]:
    """Return the list to which the pipeline adds every token that it makes from now on; tokens are stored nowhere."""
    made: list[str] = []
    make = pipeline.new_token

    def remember() -> str:
        made.append(make())
        return made[-1]

    pipeline.new_token = remember
    return made


def attempts(ledger: Ledger) -> list[Row[Any]]:
    """Return all attempts, the oldest first."""
    with ledger.read() as connection:
        return list(connection.execute(select(tables.attempts).order_by(tables.attempts.c.claimed_at)))


def inbox_rows(ledger: Ledger) -> list[Row[Any]]:
    """Return all callbacks in the inbox, the oldest first."""
    with ledger.read() as connection:
        return list(connection.execute(select(tables.inbox).order_by(tables.inbox.c.received_at)))


def due_at(ledger: Ledger, attempt_id: str) -> int | None:
    """Return when the attempt is looked up next (ms, UTC); None where no look-up is scheduled."""
    table = tables.schedule
    with ledger.read() as connection:
        return connection.execute(select(table.c.due_at).where(table.c.attempt_id == attempt_id)).scalar()


def signed(body: bytes, now_s: int, *, secret: str = SECRET, message_id: str = "msg_1") -> dict[str, str]:
    """Return the headers of a Standard Webhooks signature."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": webhook_signature(secret, message_id, str(now_s), body),
    }


def gets_sent(home: EngineHome) -> int:
    """Return the number of GETs that the sandbox has received, without downloads."""
    routes = home.sandbox.requests()["by_route"]
    return sum(int(count) for route, count in routes.items() if route.startswith("GET") and "media" not in route)


def await_inbox(ledger: Ledger, at_least: int, *, within: float = 10.0) -> list[Row[Any]]:
    """Return the callbacks of the inbox as soon as it has `at_least` of them; fail after `within` seconds."""
    eventually(lambda: len(inbox_rows(ledger)) >= at_least, within=within)
    return inbox_rows(ledger)
