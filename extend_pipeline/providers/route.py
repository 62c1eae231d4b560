"""How an account's connections leave this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extend_pipeline.config.accounts import Account
from extend_pipeline.providers.trust import PUBLIC


@dataclass(frozen=True, slots=True)
class Route:
    """`trust` says whose certificates count: `public`, `system`, or the path of a file. `private`: the account's own
    host may lie in a private network, over http where its base URL says so."""

    trust: str = PUBLIC
    private: bool = False


DIRECT: Final = Route()


def route_of(account: Account) -> Route:
    """Return the way that an account's settings describe."""
    return Route(trust=account.ca or PUBLIC, private=account.network == "private")
