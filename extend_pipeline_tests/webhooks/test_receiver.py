"""The receiver on a real port: one answer to everything, bounds on everything."""

from __future__ import annotations

import gzip
import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import text

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.webhooks.ingest import IngestResult
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, eventually
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text, line_with
from extend_pipeline_tests.webhooks.receiving import (
    QUICK,
    Receiver,
    attempts,
    called_back_home,
    inbox_rows,
    kept,
    receiving,
    tokens_of,
)

ANSWER = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
METHODS = ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW")


@dataclass
class Desk:
    """A home with one task that runs for long, the token of its address, and what makes receivers for it."""

    home: EngineHome
    pipeline: Pipeline
    token: str
    task_id: str

    def receiving(self, **limits: Any) -> Any:
        """A receiver with bounds."""
        return receiving(self.pipeline, limits=replace(QUICK, **limits))

    @property
    def rows(self) -> list[Any]:
        """What is in the inbox."""
        return inbox_rows(self.pipeline.ledger)

    def body(self, **more: Any) -> bytes:
        """A true callback."""
        return json.dumps({"task_id": self.task_id, **more}).encode()


@pytest.fixture
def ingest_queue(sandbox_of: Callable[..., EngineHome]) -> Iterator[Desk]:
    home = sandbox_of(run_time=(9_999, 9_999))
    called_back_home(home, "kling", free_port())
    home.sandbox.faults([{"kind": "callback_drop"}])
    with home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        yield Desk(home, pipeline, tokens[0], attempts(pipeline.ledger)[0].task_id)


def written(receiver: Receiver, body: bytes, *headers: str, path: str = "/x", method: str = "POST") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "host: h", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_every_method_and_path_gets_the_same_answer(ingest_queue: Desk) -> None:
    with ingest_queue.receiving() as receiver:
        paths = [
            "/",
            "//",
            "/healthz",
            "/openapi.json",
            f"/{ingest_queue.token}/",
            "/%00",
            "/" + "a" * 9_000,
            "/a?b=c",
            "/../..",
        ]
        for path in paths:
            for method in (*METHODS, "POST"):
                assert receiver.request(path, b"{}", method=method) == 204
        for method in METHODS:
            assert receiver.post(ingest_queue.token, ingest_queue.body(), method=method) == 204
        for line in (b"OPTIONS * HTTP/1.1", b"CONNECT h:1 HTTP/1.1", b"GET http://h/x HTTP/1.1", b"POST /x HTTP/1.0"):
            assert receiver.raw(line + b"\r\nhost: h\r\n\r\n").lower() == ANSWER.lower(), line
        upgrade = b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        assert receiver.raw(upgrade) == ANSWER
        assert ingest_queue.rows == []
        assert receiver.counts.total.keys() <= {IngestResult.UNKNOWN}


def test_a_token_is_found_below_any_prefix(ingest_queue: Desk) -> None:
    with ingest_queue.receiving() as receiver:
        for number, prefix in enumerate(("", "/hooks", "/a/b/c", "//")):
            assert receiver.request(f"{prefix}/{ingest_queue.token}", ingest_queue.body(n=number)) == 204
        assert len(ingest_queue.rows) == 4


def test_known_and_unknown_addresses_answer_alike_and_no_sooner(ingest_queue: Desk) -> None:
    times: dict[str, list[float]] = {ingest_queue.token: [], "A" * 43: []}
    with ingest_queue.receiving(min_response_s=0.06) as receiver:
        for number in range(12):
            for token, mine in times.items():
                content = ingest_queue.body(n=number)
                request = written(receiver, content, f"content-length: {len(content)}", path=f"/hooks/{token}")
                began = time.monotonic()
                assert receiver.raw(request) == ANSWER
                mine.append(time.monotonic() - began)
        assert len(ingest_queue.rows) == 12
    for mine in times.values():
        assert min(mine) >= 0.06
    known, unknown = (sorted(mine)[len(mine) // 2] for mine in times.values())
    assert abs(known - unknown) < 0.04


def test_a_body_is_read_up_to_its_bound_and_not_beyond(ingest_queue: Desk) -> None:
    with ingest_queue.receiving() as receiver:
        whole = ingest_queue.body()
        for size, is_kept in ((65_536, True), (65_537, False), (900_000, False), (5_000_000, False)):
            before = len(ingest_queue.rows)
            padded = whole + b" " * (size - len(whole) - 5) + str(size).encode()[:5].ljust(5)
            assert len(padded) == size
            heard = receiver.raw(
                written(receiver, padded, f"content-length: {size}", path=f"/hooks/{ingest_queue.token}")
            )
            assert heard == ANSWER or (size > 1_048_576 and heard == b"")  # its sender may hear of the end first
            assert len(ingest_queue.rows) == before + is_kept
        chunks = b"".join(b"8000\r\n" + b" " * 32_768 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
        head = written(receiver, b"", "transfer-encoding: chunked", path=f"/hooks/{ingest_queue.token}")
        assert receiver.raw(head + chunks) == ANSWER
        assert len(ingest_queue.rows) == 1
        small = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ingest_queue.body(n=1)), ingest_queue.body(n=1))
        assert receiver.raw(head + small) == ANSWER
        assert len(ingest_queue.rows) == 2


def test_lengths_that_lie_are_answered_and_a_cut_body_is_not_kept(ingest_queue: Desk) -> None:
    path = f"/hooks/{ingest_queue.token}"
    chunks_without_sizes = "transfer-encoding: chunked"
    with ingest_queue.receiving() as receiver:
        body = ingest_queue.body()
        assert receiver.raw(written(receiver, body, f"content-length: {len(body) + 9}", path=path)) == ANSWER
        assert receiver.raw(written(receiver, body, "content-length: 99999999999", path=path)) == ANSWER
        assert receiver.raw(written(receiver, body, "content-length: -1", path=path)) == ANSWER
        assert receiver.raw(written(receiver, body, chunks_without_sizes, path=path)) == ANSWER
        assert ingest_queue.rows == []
        # too short a length: what is there counts, the rest is nobody's request
        assert receiver.raw(written(receiver, body, "content-length: 2", path=path)).startswith(ANSWER)
        assert [row.task_id for row in kept(ingest_queue.pipeline.ledger, 1)] == [None]


def test_packed_bodies_are_not_unpacked(ingest_queue: Desk) -> None:
    packed = gzip.compress(ingest_queue.body())
    with ingest_queue.receiving() as receiver:
        assert receiver.post(ingest_queue.token, packed, {"content-encoding": "gzip"}) == 204
        assert [(row.task_id, len(row.body) > 0) for row in ingest_queue.rows] == [(None, True)]


@pytest.mark.parametrize(
    "parts",
    [[], [b"POST /x HT"], [b"POST /x HTTP/1.1\r\nhost: h\r\n"], [b"POST /x HTTP/1.1\r\nhost: h\r\nx: "]],
    ids=["nothing", "half a line", "half a head", "half a header"],
)
def test_whoever_sends_slowly_is_answered_and_closed(ingest_queue: Desk, parts: list[bytes]) -> None:
    with (
        ingest_queue.receiving(connection_timeout_s=0.4) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as wire,
    ):
        for part in parts:
            wire.sendall(part)
        assert wire.recv(1_000) == ANSWER
        assert wire.recv(1_000) == b""
        assert receiver.post(ingest_queue.token, ingest_queue.body()) == 204


def test_a_slow_body_is_given_up(ingest_queue: Desk) -> None:
    with (
        ingest_queue.receiving(body_timeout_s=0.3) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as wire,
    ):
        wire.sendall(written(receiver, b"{", "content-length: 20", path=f"/hooks/{ingest_queue.token}"))
        assert wire.recv(1_000) == ANSWER
        assert wire.recv(1_000) == b""
        assert ingest_queue.rows == []


def test_beyond_so_many_connections_the_answer_comes_unread(ingest_queue: Desk) -> None:
    with ingest_queue.receiving(max_connections=8, connection_timeout_s=1.0) as receiver:
        idle = [socket.create_connection(("127.0.0.1", receiver.port), timeout=10) for _ in range(300)]
        try:
            eventually(lambda: len(receiver.server.server_state.connections) <= 8)
            heard = [wire.recv(1_000) for wire in idle]
        finally:
            for wire in idle:
                wire.close()
        assert set(heard) == {ANSWER}
        eventually(
            lambda: receiver.post(ingest_queue.token, ingest_queue.body()) == 204 and len(ingest_queue.rows) == 1
        )


def test_a_locked_ledger_delays_what_is_kept_and_not_the_answer(ingest_queue: Desk) -> None:
    path = ingest_queue.home.ledger_url.removeprefix("sqlite:///")
    with ingest_queue.receiving(ledger_wait_s=0.3) as receiver:
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            assert receiver.post(ingest_queue.token, ingest_queue.body()) == 204
            assert 0.3 <= time.monotonic() - began < 5
            other.execute("ROLLBACK")
        other.close()
        assert len(kept(ingest_queue.pipeline.ledger, 1)) == 1


def test_a_ledger_that_is_broken_is_told_in_the_log_and_to_nobody_else(ingest_queue: Desk) -> None:
    with ingest_queue.pipeline.ledger.write(now_ms=1, actor="test") as tx:
        tx.connection.execute(text("ALTER TABLE inbox RENAME TO away"))
    with ingest_queue.receiving() as receiver:
        assert receiver.post(ingest_queue.token, ingest_queue.body()) == 204
        with ingest_queue.pipeline.ledger.write(now_ms=1, actor="test") as tx:
            tx.connection.execute(text("ALTER TABLE away RENAME TO inbox"))
        assert receiver.post(ingest_queue.token, ingest_queue.body()) == 204
        assert len(ingest_queue.rows) == 1
    assert receiver.counts.total == {IngestResult.STORED: 1, IngestResult.LOST: 1}
    check_user_text(line_with("\n".join(receiver.lines), "OperationalError"))
    assert not any(ingest_queue.token in line or ingest_queue.task_id in line for line in receiver.lines)


def test_what_waits_for_the_ledger_is_bounded(ingest_queue: Desk) -> None:
    path = ingest_queue.home.ledger_url.removeprefix("sqlite:///")
    with ingest_queue.receiving(ledger_wait_s=0.01, max_queued=100_000) as receiver:
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            receiver.post("A" * 43, b"first")  # it is with the ledger when the rest comes
            for _ in range(30):
                assert receiver.post("B" * 43, b" " * 10_000) == 204
            other.execute("ROLLBACK")
        other.close()
        eventually(lambda: sum(receiver.counts.total.values()) == 31)
    assert 20 <= receiver.counts.total[IngestResult.DROPPED] <= 23


def test_accounts_that_change_while_it_runs_are_read_again(ingest_queue: Desk, secret: str) -> None:
    with ingest_queue.receiving() as receiver:
        receiver.post(ingest_queue.token, ingest_queue.body(n=1))
        called = json.loads((ingest_queue.home.path / "accounts.yaml").read_text())["accounts"][0]
        called["callbacks"]["secret_env"] = "ENGINE_TEST_WEBHOOK_SECRET"
        ingest_queue.home.accounts(called)
        receiver.post(ingest_queue.token, ingest_queue.body(n=2))
        (ingest_queue.home.path / "accounts.yaml").write_text("accounts: {")
        receiver.post(ingest_queue.token, ingest_queue.body(n=3))
    assert receiver.counts.total == {IngestResult.STORED: 1, IngestResult.UNSIGNED: 2}
    check_user_text(line_with("\n".join(receiver.lines), "accounts.yaml"))
