"""The results of an HTTP exchange as types. Imports no HTTP library, so that callers and tests need none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response. Header names are lower-case; `truncated` means that the body exceeds the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


class Setting(StrEnum):
    """A setting of ours that keeps a reachable upstream from being used."""

    CERTIFICATE = "certificate"  # the trusted certificates
    PROXY = "proxy"


class SettingRefused(Exception):
    """Nothing was sent, because the operator has to change a setting; the message says which.

    Not an OSError, because it must not be handled as a failure of the network.
    """

    setting: ClassVar[Setting]


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left. With `refused`, this program refused to send it, and repeating it won't help.
    `setting` is the setting that prevents the request, if one does: then the upstream may be reachable."""

    reason: str
    refused: bool = False
    setting: Setting | None = None


@dataclass(frozen=True, slots=True)
class NoResponse:
    """The request may have arrived, and no complete response came back. The part that came is kept as evidence."""

    reason: str
    status: int | None = None
    body: bytes = b""


HttpResult = Reply | NotSent | NoResponse


@dataclass(frozen=True, slots=True)
class Pace:
    """The slowest allowed body: `min_bytes` in each `window_s` seconds, or its end."""

    min_bytes: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Stream:
    """A response whose body is still to be read. `chunks` raises StreamBroken."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes] = field(repr=False)


class StreamBroken(Exception):
    """A body that ended too early: broken off, idle for too long, or past its deadline."""
