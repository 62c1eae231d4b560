"""Repeat queries within limits. For queries only, never for a request that may be charged."""

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

RETRY_AFTER_CAP_S: Final = 3600.0  # a longer Retry-After is cut to this
_NUMBER: Final = re.compile(r"[+-]?\d{1,12}(\.\d{0,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts and the waits between them: `wait_initial_s` doubles up to `wait_max_s`, and half of every
    wait is random."""

    attempts: int = 3
    wait_initial_s: float = 0.4
    wait_max_s: float = 5.0
    min_left_s: float = 0.2  # no attempt is made with less time left


@dataclass(frozen=True, slots=True)
class AttemptResult(Generic[T_co]):
    """The outcome of one attempt, whether to try again, and the upstream's Retry-After."""

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
    """Query until an outcome needs no repeat, for at most `deadline_s` seconds in all, and return the last outcome.

    `query` gets the seconds it may take.
    """
    ends = clock() + deadline_s
    attempts_made = 0
    while True:
        attempts_made += 1
        attempt = query(max(ends - clock(), 0.001))
        wait = None
        if attempt.again:
            wait = next_wait(
                attempts_made, attempt.retry_after_s, left_s=ends - clock(), policy=policy, chance=chance()
            )
        if wait is None:
            return attempt.outcome
        sleep(wait)


def next_wait(
    attempts_made: int, retry_after_s: float | None, *, left_s: float, policy: RetryPolicy, chance: float
) -> float | None:
    """Return the seconds to wait after `attempts_made` attempts, or None if there is to be no further one.

    A Retry-After is never shortened; if it doesn't fit into `left_s`, there is no further attempt.
    """
    if attempts_made >= policy.attempts:
        return None
    base_wait: float = min(policy.wait_max_s, policy.wait_initial_s * 2 ** (attempts_made - 1))
    wait = base_wait * (0.5 + chance / 2)
    if retry_after_s is not None:
        wait = max(wait, retry_after_s)
    return wait if wait + policy.min_left_s <= left_s else None


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds (0 to 3600) that an upstream asks us to wait, from the headers `retry-after-ms` or
    `retry-after` (lower-case names); None if neither can be parsed. `now` is seconds of UTC since 1970."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if _NUMBER.fullmatch(value):
            return _clamp(float(value) * scale)
    date = _date(headers.get("retry-after", ""))
    return None if date is None else _clamp(date - now)


def clock_skew(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds by which this machine's clock (`now`, s of UTC since 1970) is ahead of the header `date`; None
    without that header."""
    date = _date(headers.get("date", ""))
    return None if date is None else now - date


def _clamp(seconds: float) -> float:
    return min(max(seconds, 0.0), RETRY_AFTER_CAP_S)


def _date(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
        # "-0000" is parsed as a naive time; in HTTP it means UTC
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
