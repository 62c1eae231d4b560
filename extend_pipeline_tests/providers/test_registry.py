"""From an account as the user wrote it to the class that speaks for it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from extend_pipeline.config.accounts import Account, ApiKey, KlingKeys
from extend_pipeline.providers.credentials import KeyPair, SingleKey
from extend_pipeline.providers.kling import KlingProvider
from extend_pipeline.providers.registry import build_provider, credentials_of, download_policy


@dataclass(frozen=True)
class _Settings:
    post_deadline_s: float = 7.0
    get_deadline_s: float = 3.0


def account(**changes: object) -> Account:
    """Only what the registry reads: how accounts are read from files is the config package's to test."""
    given = {
        "name": "kling-main",
        "provider": "kling",
        "base_url": "https://api-singapore.klingai.com",
        "credentials": KlingKeys.model_construct(access_key_env="K_A", secret_key_env="K_S"),
        "download_hosts": ("*.klingai.com",),
        "allow_local": False,
        **changes,
    }
    return Account.model_construct(**given)  # type: ignore[arg-type]


def test_a_kling_account_gets_klings_class_without_any_secret_being_read() -> None:
    provider = build_provider(account(), settings=_Settings())
    assert isinstance(provider, KlingProvider)
    assert "api-singapore.klingai.com" in repr(provider)
    provider.close()


def test_a_provider_that_nobody_wrote_is_named() -> None:
    with pytest.raises(ValueError, match=r"kling-main.*'sora'"):
        build_provider(account(provider="sora"), settings=_Settings())


def test_both_kinds_of_credentials_are_passed_on_by_name() -> None:
    assert credentials_of(account()) == KeyPair("K_A", "K_S")
    key = ApiKey.model_construct(api_key_env="K_API")
    assert credentials_of(account(credentials=key)) == SingleKey("K_API")


def test_the_download_policy_is_the_accounts() -> None:
    policy = download_policy(account(allow_local=True))
    assert (policy.hosts, policy.allow_local) == (("*.klingai.com",), True)
