"""The supported providers, in the order in which they are listed to the user."""

import time
from collections.abc import Callable
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.kling.spec import SPEC as KLING
from extend_pipeline.providers.kling_gateway.spec import SPEC as KLING_GATEWAY
from extend_pipeline.providers.luma.spec import SPEC as LUMA
from extend_pipeline.providers.protocol import Provider
from extend_pipeline.providers.spec import ProviderSpec
from extend_pipeline.providers.vidu.spec import SPEC as VIDU

PROVIDERS: Final[tuple[ProviderSpec, ...]] = (KLING, KLING_GATEWAY, VIDU, LUMA)

_BY_NAME: Final = {spec.name: spec for spec in PROVIDERS}


def spec_of(provider: str) -> ProviderSpec:
    """Return the spec of a provider. Raises ValueError for an unsupported one."""
    if provider not in _BY_NAME:
        raise ValueError(f"there is no provider called {provider!r}")
    return _BY_NAME[provider]


def build_provider(account: Account, *, settings: Settings, now: Callable[[], float] = time.time) -> Provider:
    """Return the client of an account. Sends nothing. `now` returns seconds of UTC since 1970.

    Raises ValueError for an unsupported provider, and for credentials of a kind that the provider does not use.
    """
    if account.provider not in _BY_NAME:
        raise ValueError(f"account {account.name}: there is no provider called {account.provider!r}")
    return _BY_NAME[account.provider].build(account, settings, now)


def longest_added_ms() -> int:
    """Return the greatest length that one extension of any provider adds, in ms."""
    return max(spec.added_ms(None)[1] for spec in PROVIDERS)
