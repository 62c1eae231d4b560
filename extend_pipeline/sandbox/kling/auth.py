"""Who calls: an HS256 JWT made from access key and secret key, or the API key itself, as Bearer
(docs/upstream/kling.md, "Authentication")."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import TypeGuard

from extend_pipeline.sandbox.config import SandboxAccount
from extend_pipeline.sandbox.surface.errors import Refusal


def authenticate(
    authorization: str | None, accounts: Sequence[SandboxAccount], now_s: float
) -> SandboxAccount | Refusal:
    """Return the account of an `Authorization` header. `now_s` is the real time: tokens are minted by real clocks."""
    if authorization is None:
        return Refusal(1000)
    if not authorization.strip():
        return Refusal(1001)
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer" or not token:
        return Refusal(1002, "Authorization is invalid: expected 'Bearer <token>'")
    for account in accounts:
        if hmac.compare_digest(account.api_key.encode(), token.encode()):
            return account
    return _check_jwt(token, accounts, now_s)


def _check_jwt(token: str, accounts: Sequence[SandboxAccount], now_s: float) -> SandboxAccount | Refusal:
    parts = token.split(".")
    if len(parts) != 3:
        return Refusal(1002, "Authorization is invalid: neither a known API key nor a JWT")
    header, claims, signature = _json(parts[0]), _json(parts[1]), _decoded(parts[2])
    if header is None or claims is None or signature is None:
        return Refusal(1002, "Authorization is invalid: the JWT cannot be decoded")
    if header.get("alg") != "HS256" or header.get("typ") != "JWT":
        return Refusal(1002, "Authorization is invalid: the JWT's header must say alg HS256 and typ JWT")
    account = next((known for known in accounts if known.access_key == claims.get("iss")), None)
    if account is None:
        return Refusal(1002, "Authorization is invalid: access key not found")
    signed = f"{parts[0]}.{parts[1]}".encode()
    if not hmac.compare_digest(hmac.new(account.secret_key.encode(), signed, hashlib.sha256).digest(), signature):
        return Refusal(1002, "Authorization is invalid: signature mismatch")
    expires, not_before = claims.get("exp"), claims.get("nbf")
    if not _is_time(expires) or not _is_time(not_before):
        return Refusal(1002, "Authorization is invalid: exp and nbf must be numbers of seconds")
    if now_s < not_before:
        return Refusal(1003)
    if now_s >= expires:
        return Refusal(1004)
    return account


def _decoded(part: str) -> bytes | None:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def _json(part: str) -> dict[str, object] | None:
    data = _decoded(part)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_time(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
