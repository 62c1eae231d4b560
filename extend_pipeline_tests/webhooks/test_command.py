"""The verb `callbacks`: what it refuses, how it ends, and how it stands a flood and a kill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from extend_pipeline.base.failpoints import ENVIRONMENT
from extend_pipeline.cli import cli
from extend_pipeline.engine.advance import advance
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.hints.webhook_inbox import MAX_CALLBACK_LOOKUPS, MAX_TASKS, token_digest
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive, eventually
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.webhooks.receiving import (
    SECRET_ENV,
    Receiver,
    attempts,
    called_back_home,
    inbox_rows,
    open_receiving,
    tokens_of,
)

MAX_GROWTH_KB = 60_000
"""The bound on the process's growth in a flood of 300 MB: 16 MB of bodies may wait, and Python keeps freed memory."""


@dataclass
class Running:
    """The verb `callbacks`, running in its own process."""

    process: subprocess.Popen[str]
    port: int

    @property
    def memory_kb(self) -> int:
        """The resident memory of the process (kB)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    @property
    def connections(self) -> int:
        """The number of its established connections, by the kernel's table (its own end of each)."""
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return sum(row.split()[1].endswith(f":{self.port:04X}") and row.split()[3] == "01" for row in rows)

    def post(self, token: str, body: bytes) -> int:
        """Send one callback and return the status of the response."""
        return Receiver(self.port, None, None).post(token, body)  # type: ignore[arg-type]  # only its port is used

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; return its exit code and all that it printed after its first line."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@contextmanager
def running(home: EngineHome, port: int = 0, **environment: str) -> Iterator[Running]:
    """Run the verb until the block ends."""
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(home.path), "callbacks", "--port", str(port)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, line + process.stdout.read()
        yield Running(process, int(line.split("http://127.0.0.1:")[1].split()[0]))
    finally:
        process.kill()
        process.communicate()


def one_in_flight(home: EngineHome, port: int = 9) -> tuple[str, str]:
    """Write a home with one long task without a callback of its own; return its token and its id."""
    called_back_home(home, "kling", port)
    home.sandbox.faults([{"kind": "callback_drop"}])
    with home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        return tokens[0], attempts(pipeline.ledger)[0].task_id


def refused(home: EngineHome, *options: str) -> str:
    """Run the verb, assert that it refuses to start, and return what it printed."""
    result = CliRunner().invoke(cli, ["--home", str(home.path), "callbacks", *options])
    assert result.exit_code == 2, result.output
    return result.output


def test_without_an_account_with_callbacks_it_is_refused(home: EngineHome) -> None:
    home.seeded(1)
    check_user_text(refused(home))


def test_a_missing_or_malformed_secret_is_refused(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    called_back_home(home, "kling", 9, signed=True)
    check_user_text(refused(home))
    monkeypatch.setenv(SECRET_ENV, "whsec_%%%")
    output = refused(home)
    assert "%%%" not in output
    check_user_text(output)


def test_a_port_that_is_taken_is_refused(home: EngineHome) -> None:
    called_back_home(home, "kling", 9)
    with open_receiving(home) as receiver:
        check_user_text(refused(home, "--port", str(receiver.port)), without={f"port {receiver.port}": "port PORT"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_by_either_signal_and_prints_counts_alone(
    sandbox_of: Callable[..., EngineHome], number: int
) -> None:
    home = sandbox_of(run_time=(9_999, 9_999))
    token, task_id = one_in_flight(home)
    with running(home) as verb:
        assert verb.post(token, json.dumps({"task_id": task_id}).encode()) == 204
        assert verb.post("A" * 43, b"rubbish-in-the-body") == 204
        code, output = verb.stop(number)
    assert code == 0
    check_user_text(output)
    for hidden in (token, task_id, "rubbish", "A" * 43):
        assert hidden not in output


async def _flood(port: int, requests: list[tuple[str, bytes]], at_once: int = 64) -> list[bytes]:
    queue, responses = list(reversed(requests)), []

    async def work() -> None:
        while queue:
            token, body = queue.pop()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST /hooks/{token} HTTP/1.1\r\nhost: h\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            responses.append(await reader.read())
            writer.close()

    await asyncio.gather(*(work() for _ in range(at_once)))
    return responses


def test_a_flood_is_responded_to_with_bounded_rows_and_memory(
    sandbox_of: Callable[..., EngineHome],
) -> None:
    home = sandbox_of(run_time=(9_999, 9_999))
    token, task_id = one_in_flight(home)
    size = (home.path / "state" / "ledger.sqlite").stat().st_size
    unknown = [(f"{number:043d}", b"x" * 60_000) for number in range(5_000)]
    known = [(token, json.dumps({"task_id": f"forged-{number}"}).encode()) for number in range(1_000)]
    replays = [(token, json.dumps({"task_id": task_id}).encode())] * 100
    with running(home) as verb:
        asyncio.run(_flood(verb.port, unknown[:200]))
        before = verb.memory_kb
        flood = replays + [request for pair in zip(unknown, known * 5, strict=True) for request in pair]
        responses = asyncio.run(_flood(verb.port, flood))
        growth = verb.memory_kb - before
        assert verb.post(token, b'{"task_id": "%s"}' % task_id.encode()) == 204
        code, _ = verb.stop()
    assert code == 0
    assert len(responses) == 10_100
    assert {response.split(b"\r\n")[0] for response in responses} == {b"HTTP/1.1 204 No Content"}
    assert growth < MAX_GROWTH_KB, f"the process grew by {growth} kB"
    with home.open(JumpClock()) as pipeline:
        rows = inbox_rows(pipeline.ledger)
        assert len(rows) <= MAX_CALLBACK_LOOKUPS
        assert len({row.task_id for row in rows}) <= MAX_TASKS + 1
        assert sum(row.task_id == task_id for row in rows) == 1  # the same body 101 times
        assert attempts(pipeline.ledger)[0].state == "submitted"
        assert (home.path / "state" / "ledger.sqlite").stat().st_size < size + 1_000_000


@pytest.mark.parametrize("point", ["callbacks.before_inbox", "callbacks.after_inbox"])
def test_a_receiver_that_is_killed_loses_a_hint_at_most(point: str, home: EngineHome) -> None:
    port = free_port()
    called_back_home(home, "luma", port, 2)
    lost = {"kind": "reset_after", "where": "submit", "times": 1}
    home.sandbox.faults([{"kind": "callback_drop", "times": 2}, lost])
    with home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        with running(home, port, **{ENVIRONMENT: f"{point}=kill"}) as verb:
            advance(pipeline, publish=False)
            row = next(row for row in attempts(pipeline.ledger) if row.state == "in_doubt")
            held = {row.task_id for row in attempts(pipeline.ledger)}
            task_id = next(task["task_id"] for task in home.sandbox.tasks() if task["task_id"] not in held)
            token = next(token for token in tokens if token_digest(token) == row.callback_digest)
            body = json.dumps({"id": task_id}).encode()
            with pytest.raises(ConnectionError):
                verb.post(token, body)
            assert verb.process.wait(20) == -signal.SIGKILL
        assert len(inbox_rows(pipeline.ledger)) == (point == "callbacks.after_inbox")
        advance(pipeline, publish=False)  # no lock is left in the ledger, and the work goes on
        with open_receiving(home, port=port) as receiver:  # started again; the upstream got no response and retries
            assert receiver.post(token, body) == 204
            assert len(inbox_rows(pipeline.ledger)) == 1
            assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 2


def test_a_callback_that_was_read_is_stored_before_it_ends(sandbox_of: Callable[..., EngineHome]) -> None:
    home = sandbox_of(run_time=(9_999, 9_999))
    token, task_id = one_in_flight(home)
    with running(home) as verb, ThreadPoolExecutor(1) as pool:
        with closing(sqlite3.connect(home.path / "state" / "ledger.sqlite", isolation_level=None)) as locker:
            locker.execute("BEGIN EXCLUSIVE")
            status = pool.submit(verb.post, token, json.dumps({"task_id": task_id}).encode())
            eventually(lambda: verb.connections == 1)
            verb.process.send_signal(signal.SIGTERM)
            locker.execute("ROLLBACK")
        assert verb.process.wait(30) == 0
        assert status.result() == 204
    with home.open(JumpClock()) as pipeline:
        assert len(inbox_rows(pipeline.ledger)) == 1
