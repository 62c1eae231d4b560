"""The receiver on a real port: one response to every request, and bounds on every resource."""

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
    await_inbox,
    called_back_home,
    inbox_rows,
    receiving,
    tokens_of,
)

ANSWER = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
METHODS = ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW")


@dataclass
class RunningTask:
    """A home with one task that runs for long, the token of its address, and receivers for it."""

    home: EngineHome
    pipeline: Pipeline
    token: str
    task_id: str

    def receiving(self, **limits: Any) -> Any:
        """Run a receiver with other limits."""
        return receiving(self.pipeline, limits=replace(QUICK, **limits))

    @property
    def rows(self) -> list[Any]:
        """The callbacks in the inbox."""
        return inbox_rows(self.pipeline.ledger)

    def body(self, **more: Any) -> bytes:
        """Return the body of a true callback."""
        return json.dumps({"task_id": self.task_id, **more}).encode()


@pytest.fixture
def task(sandbox_of: Callable[..., EngineHome]) -> Iterator[RunningTask]:
    home = sandbox_of(run_time=(9_999, 9_999))
    called_back_home(home, "kling", free_port())
    home.sandbox.faults([{"kind": "callback_drop"}])
    with home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        yield RunningTask(home, pipeline, tokens[0], attempts(pipeline.ledger)[0].task_id)


def written(receiver: Receiver, body: bytes, *headers: str, path: str = "/x", method: str = "POST") -> bytes:
    """Return a request as it is sent."""
    lines = [f"{method} {path} HTTP/1.1", "host: h", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_every_method_and_path_gets_the_same_response(task: RunningTask) -> None:
    with task.receiving() as receiver:
        paths = [
            "/",
            "//",
            "/healthz",
            "/openapi.json",
            f"/{task.token}/",
            "/%00",
            "/" + "a" * 9_000,
            "/a?b=c",
            "/../..",
        ]
        for path in paths:
            for method in (*METHODS, "POST"):
                assert receiver.request(path, b"{}", method=method) == 204
        for method in METHODS:
            assert receiver.post(task.token, task.body(), method=method) == 204
        for line in (b"OPTIONS * HTTP/1.1", b"CONNECT h:1 HTTP/1.1", b"GET http://h/x HTTP/1.1", b"POST /x HTTP/1.0"):
            assert receiver.raw(line + b"\r\nhost: h\r\n\r\n").lower() == ANSWER.lower(), line
        upgrade = b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        assert receiver.raw(upgrade) == ANSWER
        assert task.rows == []
        assert receiver.counts.total.keys() <= {IngestResult.UNKNOWN}


def test_a_token_is_found_below_any_prefix(task: RunningTask) -> None:
    with task.receiving() as receiver:
        for number, prefix in enumerate(("", "/hooks", "/a/b/c", "//")):
            assert receiver.request(f"{prefix}/{task.token}", task.body(n=number)) == 204
        assert len(task.rows) == 4


def test_known_and_unknown_addresses_get_the_same_response_after_the_same_time(task: RunningTask) -> None:
    times: dict[str, list[float]] = {task.token: [], "A" * 43: []}
    with task.receiving(min_response_s=0.06) as receiver:
        for number in range(12):
            for token, durations in times.items():
                content = task.body(n=number)
                request = written(receiver, content, f"content-length: {len(content)}", path=f"/hooks/{token}")
                began = time.monotonic()
                assert receiver.raw(request) == ANSWER
                durations.append(time.monotonic() - began)
        assert len(task.rows) == 12
    for durations in times.values():
        assert min(durations) >= 0.06
    known, unknown = (sorted(durations)[len(durations) // 2] for durations in times.values())
    assert abs(known - unknown) < 0.04


def test_a_body_is_read_up_to_its_bound_and_not_beyond(task: RunningTask) -> None:
    with task.receiving() as receiver:
        whole = task.body()
        for size, is_kept in ((65_536, True), (65_537, False), (900_000, False), (5_000_000, False)):
            before = len(task.rows)
            padded = whole + b" " * (size - len(whole) - 5) + str(size).encode()[:5].ljust(5)
            assert len(padded) == size
            response = receiver.raw(written(receiver, padded, f"content-length: {size}", path=f"/hooks/{task.token}"))
            assert response == ANSWER or (size > 1_048_576 and response == b"")  # the sender may see the end first
            assert len(task.rows) == before + is_kept
        chunks = b"".join(b"8000\r\n" + b" " * 32_768 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
        head = written(receiver, b"", "transfer-encoding: chunked", path=f"/hooks/{task.token}")
        assert receiver.raw(head + chunks) == ANSWER
        assert len(task.rows) == 1
        small = b"%x\r\n%s\r\n0\r\n\r\n" % (len(task.body(n=1)), task.body(n=1))
        assert receiver.raw(head + small) == ANSWER
        assert len(task.rows) == 2


def test_wrong_lengths_get_the_response_and_a_cut_body_is_not_stored(task: RunningTask) -> None:
    path = f"/hooks/{task.token}"
    chunks_without_sizes = "transfer-encoding: chunked"
    with task.receiving() as receiver:
        body = task.body()
        assert receiver.raw(written(receiver, body, f"content-length: {len(body) + 9}", path=path)) == ANSWER
        assert receiver.raw(written(receiver, body, "content-length: 99999999999", path=path)) == ANSWER
        assert receiver.raw(written(receiver, body, "content-length: -1", path=path)) == ANSWER
        assert receiver.raw(written(receiver, body, chunks_without_sizes, path=path)) == ANSWER
        assert task.rows == []
        # too short a length: the announced bytes count, the rest is no request
        assert receiver.raw(written(receiver, body, "content-length: 2", path=path)).startswith(ANSWER)
        assert [row.task_id for row in await_inbox(task.pipeline.ledger, 1)] == [None]


def test_packed_bodies_are_not_unpacked(task: RunningTask) -> None:
    packed = gzip.compress(task.body())
    with task.receiving() as receiver:
        assert receiver.post(task.token, packed, {"content-encoding": "gzip"}) == 204
        assert [(row.task_id, len(row.body) > 0) for row in task.rows] == [(None, True)]


@pytest.mark.parametrize(
    "parts",
    [[], [b"POST /x HT"], [b"POST /x HTTP/1.1\r\nhost: h\r\n"], [b"POST /x HTTP/1.1\r\nhost: h\r\nx: "]],
    ids=["nothing", "half a line", "half a head", "half a header"],
)
def test_a_slow_request_gets_the_response_and_is_closed(task: RunningTask, parts: list[bytes]) -> None:
    with (
        task.receiving(connection_timeout_s=0.4) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as wire,
    ):
        for part in parts:
            wire.sendall(part)
        assert wire.recv(1_000) == ANSWER
        assert wire.recv(1_000) == b""
        assert receiver.post(task.token, task.body()) == 204


def test_a_slow_body_is_given_up(task: RunningTask) -> None:
    with (
        task.receiving(body_timeout_s=0.3) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as wire,
    ):
        wire.sendall(written(receiver, b"{", "content-length: 20", path=f"/hooks/{task.token}"))
        assert wire.recv(1_000) == ANSWER
        assert wire.recv(1_000) == b""
        assert task.rows == []


def test_beyond_max_connections_the_response_comes_before_the_request_is_read(task: RunningTask) -> None:
    with task.receiving(max_connections=8, connection_timeout_s=1.0) as receiver:
        idle = [socket.create_connection(("127.0.0.1", receiver.port), timeout=10) for _ in range(300)]
        try:
            eventually(lambda: len(receiver.server.server_state.connections) <= 8)
            responses = [wire.recv(1_000) for wire in idle]
        finally:
            for wire in idle:
                wire.close()
        assert set(responses) == {ANSWER}
        eventually(lambda: receiver.post(task.token, task.body()) == 204 and len(task.rows) == 1)


def test_a_locked_ledger_delays_the_row_and_bounds_the_wait_for_the_response(task: RunningTask) -> None:
    path = task.home.ledger_url.removeprefix("sqlite:///")
    with task.receiving(ledger_wait_s=0.3) as receiver:
        with sqlite3.connect(path, isolation_level=None) as locker:
            locker.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            assert receiver.post(task.token, task.body()) == 204
            assert 0.3 <= time.monotonic() - began < 5
            locker.execute("ROLLBACK")
        locker.close()
        assert len(await_inbox(task.pipeline.ledger, 1)) == 1


def test_a_broken_ledger_is_reported_in_the_log_alone(task: RunningTask) -> None:
    with task.pipeline.ledger.write(now_ms=1, actor="test") as tx:
        tx.connection.execute(text("ALTER TABLE inbox RENAME TO away"))
    with task.receiving() as receiver:
        assert receiver.post(task.token, task.body()) == 204
        with task.pipeline.ledger.write(now_ms=1, actor="test") as tx:
            tx.connection.execute(text("ALTER TABLE away RENAME TO inbox"))
        assert receiver.post(task.token, task.body()) == 204
        assert len(task.rows) == 1
    assert receiver.counts.total == {IngestResult.STORED: 1, IngestResult.LOST: 1}
    check_user_text(line_with("\n".join(receiver.lines), "OperationalError"))
    assert not any(task.token in line or task.task_id in line for line in receiver.lines)


def test_callbacks_that_wait_for_the_ledger_are_bounded(task: RunningTask) -> None:
    path = task.home.ledger_url.removeprefix("sqlite:///")
    with task.receiving(ledger_wait_s=0.01, max_queued=100_000) as receiver:
        with sqlite3.connect(path, isolation_level=None) as locker:
            locker.execute("BEGIN EXCLUSIVE")
            receiver.post("A" * 43, b"first")  # it waits for the ledger when the rest comes
            for _ in range(30):
                assert receiver.post("B" * 43, b" " * 10_000) == 204
            locker.execute("ROLLBACK")
        locker.close()
        eventually(lambda: sum(receiver.counts.total.values()) == 31)
    assert 20 <= receiver.counts.total[IngestResult.DROPPED] <= 23


def test_accounts_that_change_while_it_runs_are_read_again(task: RunningTask, secret: str) -> None:
    with task.receiving() as receiver:
        receiver.post(task.token, task.body(n=1))
        called = json.loads((task.home.path / "accounts.yaml").read_text())["accounts"][0]
        called["callbacks"]["secret_env"] = "ENGINE_TEST_WEBHOOK_SECRET"
        task.home.accounts(called)
        receiver.post(task.token, task.body(n=2))
        (task.home.path / "accounts.yaml").write_text("accounts: {")
        receiver.post(task.token, task.body(n=3))
    assert receiver.counts.total == {IngestResult.STORED: 1, IngestResult.UNSIGNED: 2}
    check_user_text(line_with("\n".join(receiver.lines), "accounts.yaml"))
