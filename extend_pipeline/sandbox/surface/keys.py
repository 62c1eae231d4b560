"""Who calls, where a key alone says so: `Authorization: Bearer KEY`, or the raw key where a surface takes that too."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.requests import Request

from extend_pipeline.sandbox.surface.settings import KeyAccount


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
