"""Who calls, where a key alone says so: `Authorization: Bearer KEY`, or the raw key where a surface takes that too."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from extend_pipeline.sandbox.surface.settings import KeyAccount


def account_of(authorization: str | None, accounts: Sequence[KeyAccount], *, raw: bool) -> KeyAccount | None:
    """Return the account whose key the header holds; None without a header or with an unknown key."""
    text = (authorization or "").strip()
    scheme, _, rest = text.partition(" ")
    bearer = scheme.lower() == "bearer"
    if not bearer and not raw:
        return None
    token = (rest if bearer else text).strip()
    for account in accounts:
        if hmac.compare_digest(account.key.encode(), token.encode()):
            return account
    return None
