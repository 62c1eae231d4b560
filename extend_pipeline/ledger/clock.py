"""Checks of stored times that a wrong clock may have written. A wait counts only if a correct clock could have written
it, because the machine's clock may have been hours ahead then (a flat battery, a resumed machine) and be correct
now."""

from typing import Final

TOLERANCE_MS: Final = 60_000
"""How far the clocks of machines that share a ledger may differ, in ms. A stored time farther ahead than this was
written by a wrong clock."""

MAX_BACKOFF_MS: Final = 600_000
"""The longest back-off of an account, in ms. A longer `Retry-After` of a submit is cut to it."""


def is_ahead(at_ms: int | None, now_ms: int) -> bool:
    """Return whether a past event is dated after now (UTC ms), beyond the tolerance."""
    return at_ms is not None and at_ms > now_ms + TOLERANCE_MS


def still_waits(until_ms: int, now_ms: int, *, longest_ms: int) -> bool:
    """Return whether a wait that ends at `until_ms` still runs. A wait that ends farther ahead than the longest one of
    its kind does not, because a clock that was ahead began it."""
    return now_ms < until_ms <= now_ms + longest_ms + TOLERANCE_MS


def lease_runs(begun_ms: int, until_ms: int, now_ms: int) -> bool:
    """Return whether a lease is valid: it has not ended, and no clock that was ahead began it. Times in UTC ms."""
    return now_ms < until_ms and not is_ahead(begun_ms, now_ms)
