"""The prefix of a reseller's paths: its default, or the account's setting."""

from __future__ import annotations

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.luma.provider import LumaProvider
from extend_pipeline.providers.protocol import SubmitRequest
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import KeyAuth
from extend_pipeline_tests.providers.http.raw_server import always, answer, raw_server

KEY = "PREFIX_TEST_KEY"


@pytest.mark.parametrize(("prefix", "shown"), [(None, "/kling"), ("", ""), ("/api/kling", "/api/kling")])
def test_a_gateways_paths_begin_with_its_prefix(
    prefix: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "some-key-or-other")
    with raw_server(always(answer(200, b"{}"))) as server:
        client = ApiClient(base_url=server.base_url, auth=KeyAuth(ApiKey(api_key_env=KEY)), allow_local=True)
        provider = GatewayProvider(client) if prefix is None else GatewayProvider(client, prefix=prefix)
        provider.submit(SubmitRequest("e1", "800000000000000001"))
        provider.query("809792635498011564")
        provider.close()
        assert server.asked(0) == ("POST", f"{shown}/v1/videos/video-extend")
        assert server.asked(1) == ("GET", f"{shown}/v1/videos/video-extend/809792635498011564")


@pytest.mark.parametrize(("prefix", "shown"), [(None, "/luma"), ("", ""), ("/dream", "/dream")])
def test_lumas_paths_begin_with_its_prefix(prefix: str | None, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "some-key-or-other")
    with raw_server(always(answer(200, b"{}"))) as server:
        client = ApiClient(base_url=server.base_url, auth=KeyAuth(ApiKey(api_key_env=KEY)), allow_local=True)
        options = {} if prefix is None else {"prefix": prefix}
        provider = LumaProvider(client, batch_query=True, **options)  # type: ignore[arg-type]
        provider.submit(SubmitRequest("e1", "g1", {"prompt": "fog"}))
        provider.query("g2")
        provider.query_many(["g2", "g3"])
        provider.close()
        assert server.asked(0) == ("POST", f"{shown}/generations/g1/extend")
        assert server.asked(1) == ("GET", f"{shown}/generations/g2")
        assert any(server.line(index) == f"POST {shown}/tasks HTTP/1.1" for index in range(len(server.requests)))
