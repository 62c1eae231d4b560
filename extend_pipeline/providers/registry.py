"""Which class speaks for which account: the one place that knows every provider."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from extend_pipeline.config.accounts import Account, ApiKey, KlingKeys
from extend_pipeline.providers.credentials import Credentials, KeyPair, SingleKey
from extend_pipeline.providers.download import DownloadPolicy
from extend_pipeline.providers.kling import KlingProvider
from extend_pipeline.providers.outcomes import Provider


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
    """The provider of an account. `now` is seconds of UTC since 1970. Raises ValueError for a provider nobody wrote."""
    match account.provider:
        case "kling":
            return KlingProvider(
                base_url=account.base_url,
                credentials=credentials_of(account),
                allow_local=account.allow_local,
                post_deadline_s=settings.post_deadline_s,
                get_deadline_s=settings.get_deadline_s,
                now=now,
            )
        case other:
            raise ValueError(f"account {account.name}: there is no provider called {other!r}")


def download_policy(account: Account) -> DownloadPolicy:
    """Where an account's results may be fetched from, with the usual size and time limits."""
    return DownloadPolicy(hosts=tuple(account.download_hosts), allow_local=account.allow_local)


def credentials_of(account: Account) -> Credentials:
    """The names of an account's secrets, in this package's words."""
    match account.credentials:
        case KlingKeys() as keys:
            return KeyPair(keys.access_key_env, keys.secret_key_env)
        case ApiKey() as key:
            return SingleKey(key.api_key_env)
