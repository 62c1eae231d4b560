"""Signatures by Standard Webhooks (standardwebhooks.com): whether a body was signed with an account's secret, at most
five minutes ago."""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Mapping
from typing import Final

from standardwebhooks.webhooks import Webhook

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.wire.credentials import SecretFault

ID, TIMESTAMP, SIGNATURE = HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")

TOLERANCE_MS: Final = 300_000  # the specification's five minutes
MIN_KEY: Final = 16  # bytes; the specification asks for 24, and fewer than 16 can be guessed
MAX_SIGNATURES: Final = 16  # a rotation has two

_PREFIX: Final = "whsec_"
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)


def read_signing_secrets(
    account: Account, environment: Mapping[str, str] | None = None
) -> tuple[str, ...] | SecretFault | None:
    """Return an account's signing secrets from the environment: two during a rotation, None if it names no variable."""
    variable = None if account.callbacks is None else account.callbacks.secret_env
    return None if variable is None else read_secrets(variable, environment)


def read_secrets(variable: str, environment: Mapping[str, str] | None = None) -> tuple[str, ...] | SecretFault:
    """Return the signing secrets that an environment variable holds: two during a rotation."""
    secrets = tuple((os.environ if environment is None else environment).get(variable, "").split())
    if not secrets:
        return SecretFault(f"the environment variable {variable} is not set; set it to the webhook's secret (whsec_…)")
    for number, secret in enumerate(secrets, 1):
        which = "" if len(secrets) == 1 else f", at its secret number {number},"
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            return SecretFault(
                f"the environment variable {variable}{which} holds no base64 after whsec_; copy the webhook's secret "
                "again, whole. During a rotation, separate the two secrets by a space"
            )
        if len(key) < MIN_KEY:
            return SecretFault(
                f"the environment variable {variable}{which} holds a key of {len(key)} bytes; a webhook's secret has "
                "24 or more. Copy it again, whole"
            )
    return secrets


def signed_headers(secrets: tuple[str, ...], message_id: str, body: bytes, *, now_ms: int) -> dict[str, str]:
    """Return the headers of a message that is sent: its id, the time, and a signature with each of the secrets, if
    there are any."""
    seconds = now_ms // 1000
    headers = {ID: message_id, TIMESTAMP: str(seconds)}
    at, text = from_ms(seconds * 1000), body.decode("utf-8")
    signatures = [Webhook(secret).sign(message_id, at, text) for secret in secrets]
    return headers | ({SIGNATURE: " ".join(signatures)} if signatures else {})


def is_signed(secrets: tuple[str, ...], headers: Mapping[str, str], body: bytes, *, now_ms: int) -> bool:
    """Return whether one of the signatures was made with one of the secrets, over exactly these bytes, within five
    minutes of `now_ms`.

    The library computes the signatures and this function compares them, because the library's `verify` reads the wall
    clock, raises ValueError for a signature without a comma, and rounds a fractional timestamp before it signs.
    """
    message_id, sent, signature_header = (headers.get(name, "") for name in HEADERS)
    if not message_id or not signature_header or not _SECONDS.fullmatch(sent):
        return False
    if abs(int(sent) * 1000 - now_ms) > TOLERANCE_MS:
        return False
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    at = from_ms(int(sent) * 1000)
    expected = [Webhook(secret).sign(message_id, at, text).encode() for secret in secrets]
    signatures = [part.encode("utf-8", "replace") for part in signature_header.split(" ")[:MAX_SIGNATURES]]
    # all are compared, so that the time it takes does not depend on which one matches
    return sum(hmac.compare_digest(signature, own) for signature in signatures for own in expected) > 0
