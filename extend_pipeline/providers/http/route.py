"""How an account's connections leave this machine: certificates, private network, proxy."""

from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.net import is_loopback_host
from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.http.guard import AddressPolicy
from extend_pipeline.providers.http.proxy import NONE, Proxy, choose_proxy
from extend_pipeline.providers.http.trust import PUBLIC

_NEVER_PROXIED: Final = frozenset({AddressPolicy.LOOPBACK, AddressPolicy.PRIVATE, AddressPolicy.PUBLIC_OR_PRIVATE})


@dataclass(frozen=True, slots=True)
class Route:
    """The network settings of an account. `trust` is `public`, `system`, or the path of a file of certificates. With
    `private`, the account's host may be in a private network, over http if its base URL is http. `proxy` is `none`,
    `environment` or an address; `login_env` is the variable that holds the proxy's log-in."""

    trust: str = PUBLIC
    private: bool = False
    proxy: str = NONE
    login_env: str | None = None

    def proxy_to(self, host: str, port: int, *, scheme: str, allowed: AddressPolicy) -> Proxy | None:
        """Return the proxy for a host, or None for a direct connection, which every host gets that may be in the
        operator's own network. Raises ProxyRefused."""
        if allowed in _NEVER_PROXIED or is_loopback_host(host):
            return None
        return choose_proxy(self.proxy, self.login_env, scheme=scheme, host=host, port=port)


DIRECT: Final = Route()


def route_of(account: Account) -> Route:
    """Return the route that an account's settings describe."""
    return Route(
        trust=account.ca or PUBLIC,
        private=account.network == "private",
        proxy=account.proxy or NONE,
        login_env=account.proxy_login_env,
    )
