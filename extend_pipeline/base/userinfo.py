"""Removal of user names and passwords from the URLs in texts that are shown."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "…"

# bounded, because the text may come from a provider; in JSON the slashes may be escaped
_BEFORE_HOST: Final = re.compile(r"(:(?:\\?/){2})[^\s\"'<>/\\?#]{0,2000}@")
_BEFORE_LAST_AT: Final = re.compile(r"(://)[^/\s][^\s]*@")


def hide_userinfo(text: str) -> str:
    """Return the text with the user info of each URL replaced by `…@`; an `@` in a path stays."""
    return _BEFORE_HOST.sub(rf"\1{HIDDEN}@", text) if "@" in text else text


def hide_to_last_at(text: str) -> str:
    """Return the text with everything between `://` and the last `@` of a URL replaced by `…`.

    For malformed URLs, whose password may contain an `@` or a `/` that should have been escaped.
    """
    return _BEFORE_LAST_AT.sub(rf"\1{HIDDEN}@", text)


def userinfo_parts(url: str) -> frozenset[str]:
    """Return the possible user names and passwords of a URL, as written and unquoted; empty without user info."""
    _, separator, rest = url.partition("://")
    before, at, _ = rest.rpartition("@")
    if not separator or not at:
        return frozenset()
    user, _, password = before.partition(":")
    parts = {before, user, password}
    return frozenset((parts | {unquote(part) for part in parts}) - {""})


def hide_words(text: str, words: Iterable[str]) -> str:
    """Return the text with each of the words replaced by `…` where it is a whole word."""
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", HIDDEN, text)
    return text
