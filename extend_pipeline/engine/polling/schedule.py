"""When somebody looks again: every gap between two looks, and how far ahead a due time can lie because of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger.write.job_queue import MaxWaits

JITTER: Final = 0.2  # so that a crowd of tasks submitted together doesn't come back together
POLL_MAX_MS: Final = 300_000  # between looks at a task whose queries fail
POLL_RETRY_AFTER_MAX_MS: Final = 600_000  # a query's Retry-After beyond this is not kept: a look costs nothing

FETCH_FIRST_MS: Final = 2_000  # after a failed fetch; doubles, up to FETCH_MAX_MS
DISK_AGAIN_MS: Final = 30_000  # until a result is fetched again that our own disk didn't take
FETCH_MAX_MS: Final = 600_000  # a result that nobody can fetch is looked at six times an hour

LOOKUP_MIN_MS: Final = 500

CALLBACK_LOOKUP_FIRST_MS: Final = 2_000  # between looks at a task that a callback named; doubles
CALLBACK_LOOKUP_MAX_MS: Final = 3_600_000  # a name that no answer speaks of is asked for ever more rarely

SOURCE_AGAIN_MS: Final = 600_000  # between two tries to fetch a source that could not be had


def poll_gap_ms(account: Account, *, tries: int, asked_s: float, chance: float) -> int:
    """Return the milliseconds until a task is asked for again, after `tries` looks in a row that told nothing.
    `asked_s` is the upstream's Retry-After, `chance` lies in −1 … 1."""
    every_ms = account.poll.every_s * 1000
    gap = min(every_ms * 2 ** min(tries, 10), max(POLL_MAX_MS, every_ms)) if tries else every_ms
    return int(max(gap, min(asked_s * 1000, POLL_RETRY_AFTER_MAX_MS)) * (1 + JITTER * chance))


def poll_hold_ms(settings: Settings, accounts: Collection[Account]) -> int:
    """Return for how long whoever polls tasks of the accounts holds them, in milliseconds."""
    shortest = min((account.poll.every_s for account in accounts), default=0.0)
    return int(max(shortest, settings.get_deadline_s) * 1000)


def look_up_hold_ms(settings: Settings) -> int:
    """Return for how long whoever looks an attempt in doubt up holds it, in milliseconds."""
    return int(settings.get_deadline_s * 1000)


def look_up_gap_ms(account: Account) -> int:
    """Return the milliseconds between two look-ups of an attempt in doubt: the settle window, shared out."""
    return int(account.in_doubt.settle_s * 1000 / max(account.in_doubt.absences, 1))


def poll_waits(settings: Settings, accounts: Mapping[str, Account]) -> dict[str, MaxWaits]:
    """Return how far ahead the next look at a running task can lie, by account."""
    hold_ms = poll_hold_ms(settings, accounts.values())
    waits = {}
    for name, account in accounts.items():
        every_ms = int(account.poll.every_s * 1000 * (1 + JITTER))
        healthy_ms = max(int(account.poll.first_after_s * 1000), every_ms, hold_ms)
        failing_ms = int(max(POLL_MAX_MS, POLL_RETRY_AFTER_MAX_MS) * (1 + JITTER))
        waits[name] = MaxWaits(healthy_ms, max(healthy_ms, failing_ms))
    return waits


def fetch_waits(settings: Settings, accounts: Collection[str]) -> dict[str, MaxWaits]:
    """Return how far ahead the next fetch of a result can lie, by account: a hold, or the gap after failed ones."""
    longest = max(FETCH_MAX_MS, int(settings.lease_s * 1000))
    return {name: MaxWaits(longest, longest) for name in accounts}


def callback_waits(settings: Settings, accounts: Collection[str]) -> dict[str, MaxWaits]:
    """Return how far ahead the next look at a task that a callback named can lie, by account."""
    longest = max(CALLBACK_LOOKUP_MAX_MS, look_up_hold_ms(settings))
    return {name: MaxWaits(longest, longest) for name in accounts}


def callback_gap_ms(tries: int) -> int:
    """Return the milliseconds until the next look at a task that a callback named, after `tries` that told nothing."""
    return int(min(CALLBACK_LOOKUP_FIRST_MS * 2 ** min(tries, 10), CALLBACK_LOOKUP_MAX_MS))


def look_up_waits(settings: Settings, accounts: Mapping[str, Account]) -> dict[str, MaxWaits]:
    """Return how far ahead the next look-up by our own key can lie, by account."""
    waits = {}
    for name, account in accounts.items():
        longest = max(look_up_gap_ms(account), LOOKUP_MIN_MS, look_up_hold_ms(settings))
        waits[name] = MaxWaits(longest, longest)
    return waits
