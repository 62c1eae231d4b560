"""Keeps secrets and unbounded text out of everything that is written down."""

from __future__ import annotations

import re
from typing import Final

from extend_pipeline.base.userinfo import hide_userinfo

RAW_CAP: Final = 4096  # characters of an upstream body kept as evidence; a whole envelope of 001 is under 1,500

_BEARER = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{6,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
_PAIR = re.compile(
    r"(?i)([\"']?(?:authorization|api[_-]?key|secret[_-]?key|access[_-]?key|secret|token)[\"']?\s*[:=]\s*[\"']?"
    r"(?:(?:basic|token|key)\s+)?)"
    r"(?!bearer\b)[^\s\"',}&]{6,}"
)
# A URL's query may be a signature, and then the URL is a key to one file; in JSON its slashes may be escaped.
_QUERY = re.compile(r"(?i)(https?:(?:\\?/){2}[^\s\"'<>?#]*)[?#][^\s\"'<>]+")
# Control characters but for tab and line feed, and what turns the reading direction.
_ACTING = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def scrub(text: str, *, secrets: tuple[str, ...] = (), cap: int = RAW_CAP) -> str:
    """The text without the given secrets, without anything shaped like a credential, without the queries of URLs and
    what stands before their host, and no longer than `cap` characters.

    NUL and lone surrogates are replaced as well: PostgreSQL refuses the first, UTF-8 the second. Any other
    character that acts on a terminal or turns the reading direction is shown by its number (`\\x1b`), since logs go to
    terminals too.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = _JWT.sub("[token]", text[: cap * 4])
    text = _BEARER.sub(r"\1[secret]", text)
    text = _PAIR.sub(r"\1[secret]", _QUERY.sub(r"\1?[query]", hide_userinfo(text)))
    text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    text = _ACTING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    if len(text) > cap:
        text = text[: cap - 1] + "…"
    return text
