"""What KlingProvider sends with a submit, and what it refuses to send."""

from __future__ import annotations

import json

import jwt
import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.protocol import (
    Accepted,
    Provider,
    SubmitRequest,
)
from extend_pipeline_tests.providers.http.raw_server import (
    always,
)
from extend_pipeline_tests.providers.kling.provider.scripted import (
    ACCESS,
    API_KEY,
    REQUEST,
    SECRET,
    accepted,
    kling,
    provider_at,
)


def test_it_is_a_provider() -> None:
    provider: Provider = provider_at("https://api.example.com")
    assert (provider.can_find, provider.list_page_size) == (True, 500)
    provider.close()


def test_the_body_is_what_the_document_names_and_nothing_else() -> None:
    with kling(always(accepted())) as (provider, server):
        request = SubmitRequest(
            external_task_id="a_1",
            source_id="827000000000000001",
            params={"prompt": "p", "negative_prompt": "n", "cfg_scale": 0.5, "watermark": False},
            callback_url="https://hooks.example.com/t/abc",
        )
        assert isinstance(provider.submit(request), Accepted)
        sent = json.loads(server.body())
        assert sent == provider.body(request)
        assert sent == {
            "video_id": "827000000000000001",
            "prompt": "p",
            "negative_prompt": "n",
            "cfg_scale": 0.5,
            "watermark_info": {"enabled": False},
            "callback_url": "https://hooks.example.com/t/abc",
            "external_task_id": "a_1",
        }
        assert server.asked() == ("POST", "/v1/videos/video-extend")
        assert server.header("content-type") == "application/json"


def test_absent_parameters_are_not_sent() -> None:
    provider = provider_at("https://api.example.com")
    request = SubmitRequest(
        "a_1", "827", params={"prompt": "", "negative_prompt": None, "cfg_scale": None, "watermark": None}
    )
    assert provider.body(request) == {"video_id": "827", "external_task_id": "a_1"}


@pytest.mark.parametrize(
    "request_",
    [
        SubmitRequest("a_1", "827", params={"mode": "pro"}),
        SubmitRequest("a_1", ""),
        SubmitRequest("a b", "827"),
        SubmitRequest("x" * 65, "827"),
        SubmitRequest("a_1", "827", params={"prompt": 5}),
        SubmitRequest("a_1", "827", params={"cfg_scale": float("nan")}),
        SubmitRequest("a_1", "827", params={"cfg_scale": True}),
        SubmitRequest("a_1", "827", params={"cfg_scale": 1.5}),
        SubmitRequest("a_1", "827", params={"watermark": "yes"}),
    ],
)
def test_a_request_that_config_should_have_caught_raises_before_anything_is_sent(
    request_: SubmitRequest,
) -> None:
    with kling(always(accepted())) as (provider, server):
        with pytest.raises(ValueError, match=r".{10}"):
            provider.submit(request_)
        assert server.connections == 0


def test_the_token_goes_out_as_a_bearer_and_an_api_key_too() -> None:
    with kling(always(accepted())) as (provider, server):
        provider.submit(REQUEST)
        scheme, _, token = str(server.header("authorization")).partition(" ")
        assert scheme == "Bearer"
        options = {"verify_exp": False, "verify_nbf": False}
        assert jwt.decode(token, SECRET, algorithms=["HS256"], options=options)["iss"] == ACCESS  # type: ignore[arg-type]
    with kling(always(accepted()), credentials=ApiKey(api_key_env="K_API")) as (provider, server):
        provider.submit(REQUEST)
        assert server.header("authorization") == f"Bearer {API_KEY}"
