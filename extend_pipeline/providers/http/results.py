"""What an HTTP exchange can come to, as types. Imports no HTTP library, so that callers and tests need none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Header names are lower-case; `truncated` says that the body went on beyond the cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    elapsed_s: float


class Setting(StrEnum):
    """A setting of ours that stands between this machine and an upstream that is there."""

    CERTIFICATE = "certificate"  # whose certificates count
    PROXY = "proxy"


class SettingRefused(Exception):
    """The way is barred until a person sets something else; the message says what. Nothing was sent.

    Not an OSError: it is no failure of the network, and nothing on the way may take it for one.
    """

    setting: ClassVar[Setting]


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left: provably nothing was asked. `refused` is our own refusal; asking again won't
    help. `setting` is what bars the way, where something does: then the upstream isn't unreachable."""

    reason: str
    refused: bool = False
    setting: Setting | None = None


@dataclass(frozen=True, slots=True)
class NoResponse:
    """The request may have arrived, and no whole answer came back. What did come is kept as evidence."""

    reason: str
    status: int | None = None
    body: bytes = b""


HttpResult = Reply | NotSent | NoResponse


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a body may come: at least so many bytes in each span of so many seconds, or its end."""

    least_bytes: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body is still to be read. `chunks` raises StreamBroken."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes] = field(repr=False)


class StreamBroken(Exception):
    """The body ended before its end: broken off, silent for too long, or out of time."""
