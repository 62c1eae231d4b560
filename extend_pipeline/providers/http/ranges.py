"""Resume a download: the range to request, and whether a response continues the file. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

_STRONG_TAG: Final = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Resume:
    """The number of bytes on disk (`offset`), and the validator and length (bytes) of the whole file, if known."""

    offset: int
    validator: str | None
    total: int | None

    def headers(self) -> dict[str, str]:
        """Return the headers that request the rest of the same file, or the whole file if it has changed."""
        condition = {} if self.validator is None else {"if-range": self.validator}
        return {"range": f"bytes={self.offset}-", **condition}


@dataclass(frozen=True, slots=True)
class NoRange:
    """A response that does not continue the file. `total` is the file's length in bytes, if the response states that
    the file is complete."""

    total: int | None


@dataclass(frozen=True, slots=True)
class Continued:
    """A response that continues the file with `length` bytes, of `total` in all (None if not stated)."""

    length: int
    total: int | None


def strong_validator(headers: Mapping[str, str]) -> str | None:
    """Return what identifies a file's version: a strong ETag, else a Last-Modified that is at least a second older than
    the response (RFC 9110, 8.8.2.2)."""
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
    """Check an HTTP 206: it must begin at our offset and, if it states a length or a validator, belong to the same
    file."""
    content_range = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if content_range is None or content_range[1] is None:
        return NoRange(None)
    first, last = int(content_range[1]), int(content_range[2])
    total = None if content_range[3] == "*" else int(content_range[3])
    other_length = None not in (total, resume.total) and total != resume.total
    beyond = total is not None and last >= total
    validator = strong_validator(headers)
    other_file = None not in (validator, resume.validator) and validator != resume.validator
    if first != resume.offset or last < first or beyond or other_length or other_file:
        return NoRange(None)
    return Continued(last - first + 1, total)


def nothing_follows(resume: Resume, headers: Mapping[str, str]) -> NoRange:
    """Read the file's length from an HTTP 416, because the file may be complete already."""
    content_range = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    total = None if content_range is None or content_range[3] == "*" else int(content_range[3])
    if None not in (total, resume.total) and total != resume.total:
        return NoRange(None)
    return NoRange(total if total is not None else resume.total)
