"""Serve an API through a reseller: callers are recognised by one key, and error bodies have a shape that can be set."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.surface.error_shapes import shaped
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import ProviderSurface
from extend_pipeline.sandbox.surface.settings import KeyAccount, ResellerConfig


class ResellerSurface(ProviderSurface[Refusal]):
    """A provider's API through a reseller."""

    def __init__(self, core: Core, config: ResellerConfig) -> None:
        """Serve that sandbox's accounts as the settings say."""
        super().__init__(core)
        self._reseller = config

    def caller(self, request: Request) -> str | Refusal:
        """Return the account of a key."""
        return name_of(request, self._reseller.accounts) or Refusal(1002)

    def by_code(self, code: int) -> Refusal:
        """Return the refusal with that code."""
        return Refusal(code)

    def refused(self, refusal: Refusal) -> Response:
        """Return an error body of the shape that is set."""
        return shaped(self._reseller.error_shape, refusal)


def name_of(request: Request, accounts: Sequence[KeyAccount], *, raw: bool = False) -> str | None:
    """Return the account whose key a request has; None without a key or with an unknown one."""
    text = request.headers.get("authorization", "").strip()
    scheme, _, rest = text.partition(" ")
    bearer = scheme.lower() == "bearer"
    if not bearer and not raw:
        return None
    token = (rest if bearer else text).strip()
    for account in accounts:
        if hmac.compare_digest(account.key.encode(), token.encode()):
            return account.name
    return None
