"""Going on with a download where it stopped: the range that is asked for, and whether an answer continues the file.

Pure: reads headers, sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

_STRONG_TAG: Final = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Resume:
    """How much of a file is there (bytes), and what is known of the whole: its validator and its length."""

    offset: int
    validator: str | None
    total: int | None

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for the rest of the same file, or for all of another one."""
        condition = {} if self.validator is None else {"if-range": self.validator}
        return {"range": f"bytes={self.offset}-", **condition}


@dataclass(frozen=True, slots=True)
class NoRange:
    """The server did not continue the file. `total` is the length of the whole file in bytes, where the server said
    that nothing follows what is there."""

    total: int | None


@dataclass(frozen=True, slots=True)
class Continued:
    """An answer that continues the file: so many bytes of it follow, of so many in all (None where it says neither)."""

    length: int
    total: int | None


def strong_validator(headers: Mapping[str, str]) -> str | None:
    """Return what tells one version of a file from another: a strong ETag, else a Last-Modified that is older than its
    answer by a second or more (RFC 9110, 8.8.2.2)."""
    tag = headers.get("etag", "")
    if _STRONG_TAG.fullmatch(tag):
        return tag
    modified = headers.get("last-modified", "")
    try:
        age = parsedate_to_datetime(headers["date"]) - parsedate_to_datetime(modified)
    except (KeyError, ValueError, TypeError):
        return None
    return modified if age.total_seconds() >= 1 and modified.isascii() and modified.isprintable() else None


def continuation(resume: Resume, headers: Mapping[str, str]) -> Continued | NoRange:
    """Judge an HTTP 206: it must begin where the file ends, and be of the same file as far as it says."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None or found[1] is None:
        return NoRange(None)
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    other_length = None not in (total, resume.total) and total != resume.total
    beyond = total is not None and last >= total
    validator = strong_validator(headers)
    other_file = None not in (validator, resume.validator) and validator != resume.validator
    if first != resume.offset or last < first or beyond or other_length or other_file:
        return NoRange(None)
    return Continued(last - first + 1, total)


def nothing_follows(resume: Resume, headers: Mapping[str, str]) -> NoRange:
    """Judge an HTTP 416: the file may be whole already."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    told = None if found is None or found[3] == "*" else int(found[3])
    if told is not None and resume.total is not None and told != resume.total:
        return NoRange(None)
    return NoRange(told if told is not None else resume.total)
