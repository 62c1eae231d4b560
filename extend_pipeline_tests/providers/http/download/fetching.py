"""Fetch from a server on loopback, and expect a body, a fault or an interruption."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.http.download import (
    Body,
    DownloadInterrupted,
    DownloadPolicy,
    Fault,
    open_download,
)

ANY = DownloadPolicy()
REAL = DownloadPolicy(hosts=("*.klingai.com", "cdn.example.com", "203.0.113.9"))
LOCAL = DownloadPolicy(hosts=("*.klingai.com",), allow_local=True, idle_timeout_s=2)
MP4 = {"Content-Type": "video/mp4"}


def fault(url: str, policy: DownloadPolicy = LOCAL) -> Fault:
    with open_download(url, policy) as outcome:
        assert isinstance(outcome, Fault), outcome
        return outcome


def read(url: str, policy: DownloadPolicy = LOCAL) -> bytes:
    with open_download(url, policy) as outcome:
        assert isinstance(outcome, Body), outcome
        return b"".join(outcome.chunks)


def interrupted(url: str, policy: DownloadPolicy = LOCAL) -> DownloadInterrupted:
    with pytest.raises(DownloadInterrupted) as caught:
        read(url, policy)
    return caught.value
