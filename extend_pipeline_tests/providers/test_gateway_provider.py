"""What only a Kling gateway does: which fields are sent, rewritten bodies, and errors of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.kling_gateway.models import FORWARDABLE
from extend_pipeline.providers.kling_gateway.parse import NO_VIDEO_ID, parse_gateway_query, parse_gateway_submit
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.protocol import (
    Accepted,
    Duplicate,
    Found,
    Provider,
    QueryFailed,
    QueryFault,
    Rejected,
    RejectReason,
    SubmitRequest,
    TaskState,
    Unknown,
)
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import KeyAuth
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.http.raw_server import RawServer, always, answer, raw_server
from extend_pipeline_tests.providers.kling.bodies import done, envelope, failure
from extend_pipeline_tests.providers.wire import upstream_bodies as bodies

API_KEY = "canary-api-key-0123456789"
FULL = SubmitRequest(
    "own_1",
    "827942411241803822",
    params={"prompt": "场景放大", "negative_prompt": "n", "cfg_scale": 0.5, "watermark": True},
    callback_url="https://hooks.example.com/x",
    parent_task_id="814",
)


@contextmanager
def gateway(
    *passes: str, status: int = 200, body: bytes = bodies.GATEWAY_CREATED
) -> Iterator[tuple[Provider, RawServer]]:
    with raw_server(always(answer(status, body))) as server:
        client = ApiClient(
            base_url=f"{server.base_url}/relay", auth=KeyAuth(ApiKey(api_key_env="G_KEY")), allow_local=True
        )
        provider: Provider = GatewayProvider(client, forwarded_fields=passes)
        yield provider, server
        provider.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G_KEY", API_KEY)


def test_by_default_the_body_is_the_documents_example() -> None:
    with gateway() as (provider, server):
        assert provider.submit(FULL) == provider.submit(FULL)
        assert json.loads(server.body()) == {"video_id": "827942411241803822", "prompt": "场景放大"}
        assert server.asked() == ("POST", "/relay/kling/v1/videos/video-extend")
        assert server.header("authorization") == f"Bearer {API_KEY}"


def test_only_fields_that_the_account_forwards_are_sent() -> None:
    fields = {
        "task_id": "814",
        "negative_prompt": "n",
        "cfg_scale": 0.5,
        "callback_url": "https://hooks.example.com/x",
        "external_task_id": "own_1",
        "watermark_info": {"enabled": True},
    }
    with gateway(*FORWARDABLE) as (provider, _):
        assert provider.body(FULL) == {"video_id": "827942411241803822", "prompt": "场景放大", **fields}
        assert "task_id" not in provider.body(SubmitRequest("own_1", "827"))
    for name in FORWARDABLE:
        field = "watermark_info" if name == "watermark" else name
        with gateway(name) as (provider, _):
            extra = {key: value for key, value in provider.body(FULL).items() if key not in ("video_id", "prompt")}
            assert extra == {field: fields[field]}


def test_a_field_that_no_gateway_passes_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="model_name"), gateway("model_name"):
        pass


def test_only_a_gateway_that_passes_our_own_id_can_find_by_it() -> None:
    body = envelope(done(task_info={"external_task_id": "own_1"}))
    with gateway("external_task_id", body=body) as (provider, server):
        assert provider.can_find
        assert isinstance(provider.find("own_1"), Found)
        assert server.asked() == ("GET", "/relay/kling/v1/videos/video-extend/own_1")
    with gateway(body=body) as (provider, server):
        assert not provider.can_find
        assert isinstance(provider.find("own_1"), QueryFailed)
        assert server.requests == []


def test_a_1201_is_a_duplicate_only_where_our_own_id_was_sent() -> None:
    refusal = failure(1201, "external_task_id is already in use")
    with gateway("external_task_id", status=400, body=refusal) as (provider, _):
        assert isinstance(provider.submit(FULL), Duplicate)
    with gateway(status=400, body=refusal) as (provider, _):
        outcome = provider.submit(FULL)
        assert isinstance(outcome, Rejected)
        assert outcome.reason is RejectReason.BAD_REQUEST


def test_an_own_id_that_the_gateway_made_up_is_no_contradiction_where_none_was_sent() -> None:
    response = envelope({"task_id": "5", "task_status": "submitted", "task_info": {"external_task_id": "gw-99"}})
    assert isinstance(parse_gateway_submit(RawResponse(200, response)), Accepted)
    assert isinstance(parse_gateway_submit(RawResponse(200, response), external_task_id="own_1"), Unknown)


def test_an_answer_that_names_the_parents_task_is_unknown() -> None:
    response = envelope({"task_id": "814", "task_status": "submitted"})
    assert isinstance(parse_gateway_submit(RawResponse(200, response), parent_task_id="814"), Unknown)


def test_a_rewritten_body_is_read_like_klings() -> None:
    outcome = parse_gateway_query(RawResponse(200, bodies.gateway()), requested=bodies.GATEWAY_ID)
    assert isinstance(outcome, Found)
    view = outcome.view
    assert (view.state, view.created_ms, view.updated_ms) == (TaskState.SUCCEEDED, 1762419870_000, 1762420170_000)
    assert (view.outputs[0].url, view.outputs[0].video_id) == ("https://cdn.example.com/k.mp4", None)
    assert NO_VIDEO_ID in view.warnings


def test_klings_deduction_is_not_what_the_gateway_charges() -> None:
    outcome = parse_gateway_query(RawResponse(200, envelope(done())), requested=done()["task_id"])
    assert isinstance(outcome, Found)
    assert outcome.view.units_micros is None
    assert outcome.view.warnings == ()


def test_klings_own_error_inside_the_gateways_message_decides() -> None:
    message = "Account balance not enough"
    inner = json.dumps({"code": 1102, "message": message, "request_id": "r"})
    outer = bodies.body({"code": "fail_to_fetch_task", "message": f"upstream said {inner}", "data": None})
    outcome = parse_gateway_submit(RawResponse(429, outer))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.BALANCE
    assert outcome.answer.message.startswith(message)
    assert isinstance(parse_gateway_submit(RawResponse(500, outer)), Unknown)
    query = parse_gateway_query(RawResponse(429, outer), requested="5")
    assert isinstance(query, QueryFailed)
    assert query.fault is QueryFault.BALANCE


def test_klings_codes_in_a_5xx_are_unknown_because_the_gateway_may_have_lost_the_answer() -> None:
    for code in (1000, 1102, 1200, 1203, 1301, 1302, 1303):
        assert isinstance(parse_gateway_submit(RawResponse(502, failure(code))), Unknown)
