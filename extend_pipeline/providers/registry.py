"""Which class speaks for which account: the one place that knows every provider."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.http.route import route_of
from extend_pipeline.providers.kling.auth import KlingAuth
from extend_pipeline.providers.kling.provider import PATH as KLING_PATH
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.kling_gateway.provider import PATH as GATEWAY_PATH
from extend_pipeline.providers.kling_gateway.provider import PREFIX as GATEWAY_PREFIX
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.luma.body import extend_path
from extend_pipeline.providers.luma.provider import PREFIX as LUMA_PREFIX
from extend_pipeline.providers.luma.provider import LumaProvider
from extend_pipeline.providers.protocol import Provider
from extend_pipeline.providers.vidu.provider import SUBMIT as VIDU_PATH
from extend_pipeline.providers.vidu.provider import ViduProvider
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import Auth, KeyAuth, SingleKey, credentials_of


class Deadlines(Protocol):
    """What of the settings a provider needs: seconds that a call may take, from its first look-up to its last byte."""

    @property
    def post_deadline_s(self) -> float:
        """For a submit."""
        ...

    @property
    def get_deadline_s(self) -> float:
        """For a question, repeats included."""
        ...


def build_provider(account: Account, *, settings: Deadlines, now: Callable[[], float] = time.time) -> Provider:
    """The provider of an account. `now` is seconds of UTC since 1970.

    Raises ValueError for a provider nobody wrote, and where an account signs in in a way that its provider hasn't.
    """
    match account.provider:
        case "kling":
            return KlingProvider(_client(account, settings, now, KlingAuth(credentials_of(account), now=now)))
        case "kling-gateway":
            passes: Collection[str] = _own(account, "passes", ())
            return GatewayProvider(
                _client(account, settings, now, _key_auth(account)),
                passes=passes,
                prefix=_own(account, "path_prefix", GATEWAY_PREFIX),
            )
        case "vidu":
            bare: bool = _own(account, "auth", "raw") == "raw"  # docs/upstream/vidu.md, "Authentication"
            return ViduProvider(_client(account, settings, now, _key_auth(account, "" if bare else "Bearer ")))
        case "luma":
            batch_query: bool = _own(account, "batch_query", False)
            return LumaProvider(
                _client(account, settings, now, _key_auth(account)),
                batch_query=batch_query,
                prefix=_own(account, "path_prefix", LUMA_PREFIX),
            )
        case other:
            raise ValueError(f"account {account.name}: there is no provider called {other!r}")


def submit_path(provider: str, source_id: str, account: Account | None = None) -> str:
    """Where below its base URL a provider of this kind is asked to extend `source_id`, so that a person can look for
    the very request; as `account` says, where it is known. Raises ValueError for a provider nobody wrote."""
    match provider:
        case "kling":
            return KLING_PATH
        case "kling-gateway":
            return _prefix(account, GATEWAY_PREFIX) + GATEWAY_PATH
        case "vidu":
            return VIDU_PATH
        case "luma":
            return _prefix(account, LUMA_PREFIX) + extend_path(source_id)
        case other:
            raise ValueError(f"there is no provider called {other!r}")


def _client(account: Account, settings: Deadlines, now: Callable[[], float], auth: Auth) -> ApiClient:
    return ApiClient(
        base_url=account.base_url,
        auth=auth,
        allow_local=account.allow_local,
        route=route_of(account),
        post_deadline_s=settings.post_deadline_s,
        get_deadline_s=settings.get_deadline_s,
        now=now,
    )


def _key_auth(account: Account, prefix: str = "Bearer ") -> KeyAuth:
    key = credentials_of(account)
    if not isinstance(key, SingleKey):
        raise ValueError(f"account {account.name}: {account.provider} signs in with one key: give it as api_key_env")
    return KeyAuth(key, prefix)


def _prefix(account: Account | None, default: str) -> str:
    prefix: str = default if account is None else _own(account, "path_prefix", default)
    return prefix


def _own(account: Account, name: str, default: object) -> Any:
    """A setting that only one provider's accounts have."""
    return getattr(account, name, default)
