"""Repeat queries within bounds. For queries only: nothing that may be charged goes through here."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

RETRY_AFTER_CAP_S: Final = 3600.0  # an upstream that asks for more is polled again at the engine's own interval
_NUMBER: Final = re.compile(r"[+-]?\d{1,12}(\.\d{0,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long between: `wait_initial_s` doubles up to `wait_max_s`, and half of every wait is
    chance."""

    attempts: int = 3
    wait_initial_s: float = 0.4
    wait_max_s: float = 5.0
    least_left_s: float = 0.2  # an attempt that gets less time than this isn't worth making


@dataclass(frozen=True, slots=True)
class AttemptResult(Generic[T_co]):
    """What one attempt came to, whether another may do better, and how long the upstream asked to be left alone."""

    outcome: T_co
    again: bool = False
    retry_after_s: float | None = None


def with_retries(
    query: Callable[[float], AttemptResult[T]],
    *,
    deadline_s: float,
    policy: RetryPolicy,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> T:
    """Query until a result needs no repeating, for at most `deadline_s` seconds in all; return the last outcome.

    `query` is given the seconds it may take.
    """
    ends = clock() + deadline_s
    made = 0
    while True:
        made += 1
        attempt = query(max(ends - clock(), 0.001))
        wait = None
        if attempt.again:
            wait = next_wait(made, attempt.retry_after_s, left_s=ends - clock(), policy=policy, chance=chance())
        if wait is None:
            return attempt.outcome
        sleep(wait)


def next_wait(
    made: int, retry_after_s: float | None, *, left_s: float, policy: RetryPolicy, chance: float
) -> float | None:
    """Return the seconds until the next attempt after `made` of them, or None where there is to be none.

    A Retry-After is kept, never shortened: where it doesn't fit into what is left, the caller is told instead.
    """
    if made >= policy.attempts:
        return None
    grown: float = min(policy.wait_max_s, policy.wait_initial_s * 2 ** (made - 1))
    wait = grown * (0.5 + chance / 2)
    if retry_after_s is not None:
        wait = max(wait, retry_after_s)
    return wait if wait + policy.least_left_s <= left_s else None


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that an upstream asks to be left alone, from `retry-after-ms` or `retry-after` (lower-case
    names), in 0 … 3600; None where neither can be read. `now` is seconds of UTC since 1970."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if _NUMBER.fullmatch(value):
            return _clamp(float(value) * scale)
    date = _date(headers.get("retry-after", ""))
    return None if date is None else _clamp(date - now)


def clock_skew(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds by which this machine's clock is ahead of the upstream's `date`; None without such a
    header."""
    date = _date(headers.get("date", ""))
    return None if date is None else now - date


def _clamp(seconds: float) -> float:
    return min(max(seconds, 0.0), RETRY_AFTER_CAP_S)


def _date(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
        # "-0000" reads as a naive time, which HTTP means as UTC
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
