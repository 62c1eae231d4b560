"""How an account's connections leave this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.net import is_loopback_host
from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.http.guard import AddressPolicy
from extend_pipeline.providers.http.proxy import NONE, Proxy, chosen_proxy
from extend_pipeline.providers.http.trust import PUBLIC

_DIRECT: Final = frozenset({AddressPolicy.LOOPBACK, AddressPolicy.PRIVATE, AddressPolicy.PUBLIC_OR_PRIVATE})


@dataclass(frozen=True, slots=True)
class Route:
    """`trust` says whose certificates count: `public`, `system`, or the path of a file. `private`: the account's own
    host may lie in a private network, over http where its base URL says so. `proxy` is `none`, `environment` or an
    address, and `login_env` the variable that holds what the proxy is told."""

    trust: str = PUBLIC
    private: bool = False
    proxy: str = NONE
    login_env: str | None = None

    def proxy_to(self, host: str, port: int, *, scheme: str, reach: AddressPolicy) -> Proxy | None:
        """Return the proxy on the way to a host; None where it is reached directly, as every host is that may lie in
        one's own network. Raises ProxyRefused."""
        if reach in _DIRECT or is_loopback_host(host):
            return None
        return chosen_proxy(self.proxy, self.login_env, scheme=scheme, host=host, port=port)


DIRECT: Final = Route()


def route_of(account: Account) -> Route:
    """Return the way that an account's settings describe."""
    return Route(
        trust=account.ca or PUBLIC,
        private=account.network == "private",
        proxy=account.proxy or NONE,
        login_env=account.proxy_login_env,
    )
