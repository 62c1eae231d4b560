"""Removal of secrets and excess length from texts before they are stored or logged."""

import re
from typing import Final

from extend_pipeline.base.userinfo import hide_userinfo

RAW_CAP: Final = 4096  # characters of an upstream body that are stored; a usual response has under 1,500

_BEARER = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{6,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
_PAIR = re.compile(
    r"(?i)([\"']?(?:authorization|api[_-]?key|secret[_-]?key|access[_-]?key|secret|token)[\"']?\s*[:=]\s*[\"']?"
    r"(?:(?:basic|token|key)\s+)?)"
    r"(?!bearer\b)[^\s\"',}&]{6,}"
)
# A URL's query may be a signature, which gives access to a file. In JSON its slashes may be escaped.
_QUERY = re.compile(r"(?i)(https?:(?:\\?/){2}[^\s\"'<>?#]*)[?#][^\s\"'<>]+")
# Control characters except tab and line feed, and characters that change the reading direction.
_CONTROL = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def scrub(text: str, *, secrets: tuple[str, ...] = (), cap: int = RAW_CAP) -> str:
    """Return the text without the `secrets`, credentials by their shape, and the queries and user info of URLs, cut to
    `cap` characters.

    NUL and lone surrogates are replaced too, because PostgreSQL refuses NUL and UTF-8 refuses surrogates. Other control
    characters and changes of the reading direction are escaped (`\\x1b`), because logs are shown in terminals.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    # nothing else is found without a mark, and most fields of a task are words or empty
    if not text or (text.isascii() and text.isalnum()):
        return text if len(text) <= cap else text[: cap - 1] + "…"
    text = _JWT.sub("[token]", text[: cap * 4])
    text = _BEARER.sub(r"\1[secret]", text)
    text = _PAIR.sub(r"\1[secret]", _QUERY.sub(r"\1?[query]", hide_userinfo(text)))
    text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    text = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    if len(text) > cap:
        text = text[: cap - 1] + "…"
    return text
