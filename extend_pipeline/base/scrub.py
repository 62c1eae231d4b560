"""Keeps secrets and unbounded text out of everything that is written down."""

from __future__ import annotations

import re
from typing import Final

RAW_CAP: Final = 4096  # characters of an upstream body kept as evidence; a whole envelope of 001 is under 1,500

_BEARER = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{6,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
_PAIR = re.compile(
    r"(?i)([\"']?(?:authorization|api[_-]?key|secret[_-]?key|access[_-]?key|secret|token)[\"']?\s*[:=]\s*[\"']?)"
    r"(?!bearer\b)[^\s\"',}&]{6,}"
)


def scrub(text: str, *, secrets: tuple[str, ...] = (), cap: int = RAW_CAP) -> str:
    """The text without the given secrets, without anything shaped like a credential, and no longer than `cap`
    characters.

    NUL and lone surrogates are replaced as well: PostgreSQL refuses the first, UTF-8 the second.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = _JWT.sub("[token]", text[: cap * 4])
    text = _BEARER.sub(r"\1[secret]", text)
    text = _PAIR.sub(r"\1[secret]", text)
    text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if len(text) > cap:
        text = text[: cap - 1] + "…"
    return text
