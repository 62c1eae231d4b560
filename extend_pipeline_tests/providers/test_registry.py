"""The class of the provider that an account gets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.kling.models import KlingKeys
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.luma.provider import LumaProvider
from extend_pipeline.providers.protocol import SubmitRequest
from extend_pipeline.providers.registry import PROVIDERS, build_provider
from extend_pipeline.providers.vidu.provider import ViduProvider
from extend_pipeline.providers.wire.credentials import variables_of
from extend_pipeline_tests.providers.http.raw_server import always, answer, raw_server


@dataclass(frozen=True)
class _Settings:
    post_deadline_s: float = 7.0
    get_deadline_s: float = 3.0


def account(**changes: object) -> Account:
    """Return an account with only the fields that the registry reads; tests of `config` cover the reading of files."""
    fields = {
        "name": "kling-main",
        "provider": "kling",
        "base_url": "https://api-singapore.klingai.com",
        "credentials": KlingKeys.model_construct(access_key_env="K_A", secret_key_env="K_S"),
        "allow_local": False,
        **changes,
    }
    known = [spec for spec in PROVIDERS if spec.name == fields["provider"]]
    return (known[0].account if known else Account).model_construct(**fields)  # type: ignore[arg-type]


def test_a_kling_account_gets_klings_class_without_any_secret_being_read() -> None:
    provider = build_provider(account(), settings=_Settings())
    assert isinstance(provider, KlingProvider)
    assert "api-singapore.klingai.com" in repr(provider)
    provider.close()


def keyed(provider: str, **changes: object) -> Account:
    """Return an account that signs in with one key."""
    return account(provider=provider, credentials=ApiKey.model_construct(api_key_env="R_KEY"), **changes)


def test_a_gateway_gets_what_its_account_passes() -> None:
    plain = build_provider(keyed("kling-gateway"), settings=_Settings())
    assert isinstance(plain, GatewayProvider)
    assert (plain.can_find, plain.list_page_size, plain.query_batch_size) == (False, 0, 0)
    plain.close()
    passing = build_provider(keyed("kling-gateway", passes=("external_task_id", "cfg_scale")), settings=_Settings())
    request = SubmitRequest("own_1", "827", params={"cfg_scale": 0.5, "negative_prompt": "n"})
    assert passing.body(request) == {"video_id": "827", "cfg_scale": 0.5, "external_task_id": "own_1"}
    assert passing.can_find
    passing.close()


@pytest.mark.parametrize(("auth", "sent"), [("raw", "k-1"), ("bearer", "Bearer k-1"), (None, "k-1")])
def test_vidus_key_is_sent_as_its_account_says(auth: str | None, sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_KEY", "k-1")
    own = {} if auth is None else {"auth": auth}
    with raw_server(always(answer(401))) as server:
        vidu = build_provider(keyed("vidu", base_url=server.base_url, allow_local=True, **own), settings=_Settings())
        assert isinstance(vidu, ViduProvider)
        vidu.query("t")
        assert server.header("authorization") == sent
        vidu.close()


def test_luma_queries_several_tasks_only_where_its_account_allows_it() -> None:
    for batch_query in (True, False):
        luma = build_provider(keyed("luma", batch_query=batch_query), settings=_Settings())
        assert isinstance(luma, LumaProvider)
        assert (luma.query_batch_size > 0) is batch_query
        luma.close()


@pytest.mark.parametrize("provider", ["kling-gateway", "vidu", "luma"])
def test_a_pair_of_keys_is_no_way_into_a_system_that_wants_one(provider: str) -> None:
    with pytest.raises(ValueError, match=r"kling-main.*api_key_env"):
        build_provider(account(provider=provider), settings=_Settings())


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(ValueError, match=r"kling-main.*'sora'"):
        build_provider(account(provider="sora"), settings=_Settings())


def test_both_kinds_of_credentials_are_passed_on_by_name() -> None:
    assert variables_of(account()) == ("K_A", "K_S")
    assert variables_of(account(credentials=ApiKey(api_key_env="K_API"))) == ("K_API",)
