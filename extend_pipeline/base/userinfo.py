"""Keeps what stands in an address before its host (a user name, a password) out of everything that is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "…"

# bounded, since the text may be an upstream's; in JSON the slashes may be escaped
_BEFORE_HOST: Final = re.compile(r"(:(?:\\?/){2})[^\s\"'<>/\\?#]{0,2000}@")
_BEFORE_LAST_AT: Final = re.compile(r"(://)[^/\s][^\s]*@")


def hide_userinfo(text: str) -> str:
    """Return the text with `…@` instead of what stands before the host of each address; a path may hold an `@`."""
    return _BEFORE_HOST.sub(rf"\1{HIDDEN}@", text) if "@" in text else text


def hide_to_last_at(text: str) -> str:
    """Return the text with `…@` instead of all between `://` and the last `@` of an address.

    For what a person wrote wrongly: a password may hold an `@` or a `/` that should have been escaped.
    """
    return _BEFORE_LAST_AT.sub(rf"\1{HIDDEN}@", text)


def userinfo_parts(url: str) -> frozenset[str]:
    """Return what could be the user name or the password of an address, as written and unquoted; empty without any."""
    _, separator, rest = url.partition("://")
    before, at, _ = rest.rpartition("@")
    if not separator or not at:
        return frozenset()
    user, _, password = before.partition(":")
    written = {before, user, password}
    return frozenset((written | {unquote(part) for part in written}) - {""})


def hide_words(text: str, words: Iterable[str]) -> str:
    """Return the text with `…` instead of each of the words, where it stands as a word of its own."""
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", HIDDEN, text)
    return text
