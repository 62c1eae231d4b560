"""Stored times that a wrong clock wrote. A wait counts only where a right clock could have written it: the machine's
clock may have been hours ahead when it was stored (a flat battery, a resumed machine), and is right now."""

from __future__ import annotations

from typing import Final

TOLERANCE_MS: Final = 60_000
"""How far clocks of machines that share a ledger may differ. A stored time farther ahead than this was not written by a
clock that agrees with ours."""

MAX_BACKOFF_MS: Final = 600_000
"""The longest back-off of an account: a `Retry-After` of a submit beyond it is not believed."""


def is_ahead(at_ms: int | None, now_ms: int) -> bool:
    """Return whether something that has happened is dated after now (UTC ms)."""
    return at_ms is not None and at_ms > now_ms + TOLERANCE_MS


def still_waits(until_ms: int, now_ms: int, *, longest_ms: int) -> bool:
    """Return whether a wait that ends at `until_ms` goes on: not where it ends farther ahead than the longest wait of
    its kind, since it was then begun by a clock that was ahead."""
    return now_ms < until_ms <= now_ms + longest_ms + TOLERANCE_MS


def lease_runs(begun_ms: int, until_ms: int, now_ms: int) -> bool:
    """Return whether a lease still holds: neither is its time up, nor was it begun by a clock that was ahead."""
    return now_ms < until_ms and not is_ahead(begun_ms, now_ms)
