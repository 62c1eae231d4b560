"""What only Vidu does: the bare key, the image in the body, seconds, and usage even in failures."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    Provider,
    Rejected,
    RejectReason,
    SubmitRequest,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.vidu.parse import parse_vidu_query, parse_vidu_submit
from extend_pipeline.providers.vidu.provider import ViduProvider
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import KeyAuth
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.http.raw_server import RawServer, always, answer, raw_server
from extend_pipeline_tests.providers.wire import upstream_bodies as bodies
from extend_pipeline_tests.providers.wire.image_bytes import jpeg, png

KEY = "canary-api-key-0123456789"
SOURCE = "https://cdn.example.com/maxcot-dance.mp4"
PARAMS = {
    "prompt": "Continue the video with smooth camera movement",
    "model": "viduq2-turbo",
    "seconds": 5,
    "resolution": "720p",
}


@contextmanager
def vidu(body: bytes = bodies.VIDU_CREATED, prefix: str = "") -> Iterator[tuple[Provider, RawServer]]:
    with raw_server(always(answer(200, body))) as server:
        client = ApiClient(
            base_url=server.base_url, auth=KeyAuth(ApiKey(api_key_env="V_KEY"), prefix), allow_local=True
        )
        provider: Provider = ViduProvider(client)
        yield provider, server
        provider.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V_KEY", KEY)


def view_of(body: bytes, requested: str = bodies.VIDU_ID) -> TaskView:
    outcome = parse_vidu_query(RawResponse(200, body), requested=requested)
    assert isinstance(outcome, Found), outcome
    return outcome.view


def test_the_example_of_the_document_goes_out_as_it_is_written() -> None:
    with vidu() as (provider, server):
        frame = "https://cdn.example.com/ucloud-maxcot.jpg"
        provider.submit(SubmitRequest("own_1", SOURCE, params={**PARAMS, "last_frame_url": frame}))
        assert json.loads(server.body()) == {
            "model": "viduq2-turbo",
            "input": {"video_url": SOURCE, "last_frame_url": frame, "prompt": PARAMS["prompt"]},
            "parameters": {"vidu_type": "extend", "duration": 5, "resolution": "720p"},
        }


@pytest.mark.parametrize(("prefix", "sent"), [("", KEY), ("Bearer ", f"Bearer {KEY}")])
def test_the_key_goes_out_bare_or_as_bearer(prefix: str, sent: str) -> None:
    with vidu(prefix=prefix) as (provider, server):
        provider.submit(SubmitRequest("own_1", SOURCE, params=PARAMS))
        assert server.header("authorization") == sent
        provider.query(bodies.VIDU_ID)
        assert server.header("authorization") == sent


def test_neither_our_own_id_nor_a_callback_is_sent() -> None:
    with vidu() as (provider, server):
        provider.submit(SubmitRequest("own_1", SOURCE, params=PARAMS, callback_url="https://hooks.example.com/x"))
        assert b"own_1" not in server.body()
        assert b"hooks" not in server.body()


def test_a_local_image_is_sent_whole_and_stored_by_its_digest(tmp_path: Path) -> None:
    file = tmp_path / "last.png"
    file.write_bytes(png(640, 360, total=3_000_000))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    request = SubmitRequest(
        "own_1", SOURCE, params={**PARAMS, "last_frame_url": f"file:{file}", "last_frame_sha256": digest}
    )
    with vidu() as (provider, server):
        assert isinstance(provider.submit(request), Accepted)
        sent = json.loads(server.body())["input"]["last_frame_url"]
        assert base64.b64decode(sent.removeprefix("data:image/png;base64,")) == file.read_bytes()
        stored = provider.body(request)
        assert len(json.dumps(stored)) < 1000
        assert json.loads(json.dumps(stored))["input"]["last_frame_url"] == f"file:last.png;sha256={digest}"
        file.unlink()
        assert provider.body(request) == stored


@pytest.mark.parametrize("content", [b"no image", png(500, 100), jpeg(64, 64), None])
def test_an_image_that_cannot_be_sent_is_rejected_before_any_byte(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "last.png"
    if content is not None:
        file.write_bytes(content)
    digest = hashlib.sha256(png(500, 100) if content == png(500, 100) else b"no image").hexdigest()
    with vidu() as (provider, server):
        outcome = provider.submit(
            SubmitRequest(
                "own_1", SOURCE, params={**PARAMS, "last_frame_url": f"file:{file}", "last_frame_sha256": digest}
            )
        )
        assert isinstance(outcome, Rejected)
        assert outcome.reason is RejectReason.BAD_REQUEST
        assert "last.png" in outcome.answer.message
        assert (server.requests, server.connections) == ([], 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": 0},
        {"seconds": 8},
        {"seconds": True},
        {"seconds": 5.0},
        {"seconds": None},
        {"model": "viduq1"},
        {"resolution": "4k"},
        {"model": None},
        {"last_frame_url": "file:/a.png"},
    ],
)
def test_what_config_should_have_caught_is_a_programming_error(changes: dict[str, object]) -> None:
    with vidu() as (provider, _), pytest.raises(ValueError, match=next(iter(changes))):
        provider.body(SubmitRequest("own_1", SOURCE, params={**PARAMS, **changes}))
    with vidu() as (provider, _), pytest.raises(ValueError, match="source_id"):
        provider.body(SubmitRequest("own_1", "", params=PARAMS))


def test_the_answers_of_the_document_are_read_as_they_stand() -> None:
    outcome = parse_vidu_submit(RawResponse(200, bodies.VIDU_CREATED))
    assert isinstance(outcome, Accepted)
    assert (outcome.task_id, outcome.answer.request_id) == ("task_id", "request_id")
    view = view_of(bodies.VIDU_DONE)
    assert (view.state, view.added_ms) == (TaskState.SUCCEEDED, 5000)
    assert (view.created_ms, view.updated_ms) == (1756959000_000, 1756959050_000)
    (output,) = view.outputs
    assert output.url == output.video_id == "https://xxxxx/xxxx-extended.mp4"
    assert output.duration_ms is None
    assert view.warnings == ()


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Pending", TaskState.SUBMITTED),
        ("Running", TaskState.PROCESSING),
        ("Failure", TaskState.FAILED),
        ("Expired", TaskState.FAILED),
        ("Queueing", TaskState.PROCESSING),
    ],
)
def test_only_a_success_has_added_seconds(status: str, state: TaskState) -> None:
    view = view_of(bodies.vidu(status))
    assert (view.state, view.added_ms) == (state, None)
    assert view_of(bodies.vidu("Success", urls=None)).added_ms is None


def test_an_expired_task_is_described_where_the_provider_does_not() -> None:
    assert "expired" in view_of(bodies.vidu("Expired")).message
    assert view_of(bodies.vidu("Expired", error_message="too late")).message == "too late"


def test_a_failure_with_an_error_beside_it_is_a_failure() -> None:
    message = "video too short"
    value = {**json.loads(bodies.vidu("Failure")), "error": {"message": message, "code": "x"}}
    view = view_of(bodies.body(value))
    assert (view.state, view.message) == (TaskState.FAILED, message)


def test_the_request_id_of_an_error_is_its_param() -> None:
    outcome = parse_vidu_submit(RawResponse(400, bodies.error_object("bad", "param_error")))
    assert isinstance(outcome, Rejected)
    assert (outcome.answer.request_id, outcome.answer.code) == ("req-1", "param_error")


def test_both_kinds_of_forbidden_stop_the_account() -> None:
    for message in ("API key quota exceeded", "IP is not in the whitelist"):
        outcome = parse_vidu_submit(RawResponse(403, bodies.error_object(message, "forbidden")))
        assert isinstance(outcome, Rejected)
        assert outcome.reason.stops_account
        assert outcome.answer.message.startswith(message)


def test_a_404_on_submit_is_not_documented_and_so_unknown() -> None:
    assert isinstance(parse_vidu_submit(RawResponse(404, bodies.error_object("no model", "not_found"))), Unknown)
