"""To any bytes the receiver responds with 204 or nothing; it stores none of them and goes on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from extend_pipeline.engine.advance import advance
from extend_pipeline.ledger.write.hints.webhook_inbox import MAX_CALLBACKS_PER_TASK
from extend_pipeline.webhooks.ingest import IngestResult
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.webhooks.openapi import METHODS, document
from extend_pipeline_tests.webhooks.receiving import (
    Receiver,
    attempts,
    called_back_home,
    inbox_rows,
    receiving,
    tokens_of,
)

ANSWER: Final = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
MIN_CASES: Final = 200

_PIECES: Final = st.sampled_from(
    [
        b"POST /hooks/" + b"A" * 43 + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"host: h\r\n",
        b"content-length: 5\r\n",
        b"content-length: 7\r\n",
        b"content-length: -5\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"expect: 100-continue\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\n",
        b"connection: keep-alive\r\n",
        b"x: " + b"y" * 17_000 + b"\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffffff\r\n",
        b"{}",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00",
    ]
)


@pytest.fixture
def running(sandbox_of: Callable[..., EngineHome]) -> Iterator[tuple[Receiver, Any, str]]:
    home = sandbox_of(run_time=(9_999, 9_999))
    called_back_home(home, "kling", free_port())
    home.sandbox.faults([{"kind": "callback_drop"}])
    with home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        with receiving(pipeline) as receiver:
            yield receiver, pipeline, tokens[0]


def test_broken_http_gets_the_same_response_as_any_request(running: tuple[Receiver, Any, str]) -> None:
    receiver, pipeline, token = running
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(st.lists(_PIECES | st.binary(max_size=60), max_size=8))
    def garbage(pieces: list[bytes]) -> None:
        response = receiver.raw(b"".join(pieces))
        whole = response.removeprefix(b"HTTP/1.1 100 \r\n\r\n").removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert whole in (b"", ANSWER)  # empty only where the sender saw the end before the response
        outcomes["responded" if whole else "reset"] += 1

    garbage()
    assert outcomes["responded"] >= 250
    assert receiver.post(token, b"still there") == 204
    assert [row.task_id for row in inbox_rows(pipeline.ledger)] == [None]
    assert receiver.counts.total.keys() <= {IngestResult.STORED, IngestResult.UNKNOWN}


def test_schemathesis_finds_nothing(running: tuple[Receiver, Any, str]) -> None:
    receiver, pipeline, token = running
    schema = schemathesis.openapi.from_dict(document("hooks"))
    schema.config.update(base_url=f"http://127.0.0.1:{receiver.port}")
    cases: Counter[str] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            if len(cases) and cases.total() % 3 == 0:
                case.path_parameters["token"] = token  # also to an address that belongs to an attempt
            response = case.call_and_validate(timeout=20)
            assert (response.status_code, response.content) == (204, b"")
            cases[case.method] += 1

        check()
    assert set(cases) == {method.upper() for method in METHODS}
    assert cases.total() >= MIN_CASES
    assert cases["POST"] >= 100
    assert len(inbox_rows(pipeline.ledger)) <= MAX_CALLBACKS_PER_TASK
    assert {row.state for row in attempts(pipeline.ledger)} == {"submitted"}


def test_schemathesis_finds_nothing_with_values_at_every_edge(
    running: tuple[Receiver, Any, str], tmp_path: Path
) -> None:
    receiver, pipeline, _ = running
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document("hooks")))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(path), "--no-color", "--mode", "all"]
    # a method that isn't declared, and a resource that was deleted: here they get 204 like every request
    command += ["--exclude-checks", "unsupported_method,use_after_free", "--max-examples", "30"]
    command += ["--url", f"http://127.0.0.1:{receiver.port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    generated = re.search(r"(\d+) generated, \1 passed", done.stdout)
    assert generated is not None, done.stdout
    assert int(generated.group(1)) >= MIN_CASES
    assert inbox_rows(pipeline.ledger) == []


def test_the_document_describes_every_method_with_one_response() -> None:
    contract = document("hooks")
    (operations,) = contract["paths"].values()
    assert list(contract["paths"]) == ["/hooks/{token}"]
    assert {tuple(operations[method]["responses"]) for method in METHODS} == {("204",)}
    assert json.loads(json.dumps(contract)) == contract
