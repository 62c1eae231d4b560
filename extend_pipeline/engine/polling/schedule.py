"""When to look again: every gap, back-off and lease of the engine, and how far ahead a due time can lie because of
them. Pure; times in ms of UTC."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, is_ahead
from extend_pipeline.ledger.write.job_queue import MaxWaits

JITTER: Final = 0.2  # so that a crowd of tasks submitted together doesn't come back together
POLL_MAX_MS: Final = 300_000  # between looks at a task whose queries fail
POLL_RETRY_AFTER_MAX_MS: Final = 600_000  # a query's Retry-After beyond this is not kept: a look costs nothing

FETCH_FIRST_MS: Final = 2_000  # after a failed fetch; doubles
FETCH_MAX_MS: Final = 600_000  # a result that can't be fetched is tried six times an hour
DISK_AGAIN_MS: Final = 30_000  # until a result is fetched again that our own disk didn't take

RESTORE_FIRST_MS: Final = 60_000  # after a film or a source that could not be brought back; doubles
RESTORE_MAX_MS: Final = 6 * 3_600_000

LOOKUP_MIN_MS: Final = 500

CALLBACK_LOOKUP_FIRST_MS: Final = 2_000  # between looks at a task that a callback named; doubles
CALLBACK_LOOKUP_MAX_MS: Final = 3_600_000  # a task that no answer speaks of is asked for ever more rarely

SOURCE_AGAIN_MS: Final = 600_000  # between two tries to fetch a source that could not be had

REST_FIRST_MS: Final = 1_000  # of an account after a refused submit; doubles with every refusal in a row
REST_MAX_MS: Final = 60_000  # a slot comes free within minutes: a hop runs 4 to 6


def first_poll(account: Account, now_ms: int) -> int:
    """Return when a task that was just submitted is asked for."""
    return now_ms + int(account.poll.first_after_s * 1000)


def next_poll(account: Account, *, tries: int, retry_after_s: float, now_ms: int, chance: float) -> int:
    """Return when a task is asked for again, after `tries` looks in a row that told nothing. `retry_after_s` is the
    provider's, `chance` lies in −1 … 1."""
    every_ms = account.poll.every_s * 1000
    gap = min(every_ms * 2 ** min(tries, 10), max(POLL_MAX_MS, every_ms)) if tries else every_ms
    return now_ms + int(max(gap, min(retry_after_s * 1000, POLL_RETRY_AFTER_MAX_MS)) * (1 + JITTER * chance))


def next_fetch(*, tries: int, now_ms: int) -> int:
    """Return when a result is fetched again, after `tries` failed fetches in a row that brought nothing."""
    return now_ms + int(min(FETCH_FIRST_MS * 2 ** min(max(tries - 1, 0), 10), FETCH_MAX_MS))


def next_fetch_without_room(now_ms: int) -> int:
    """Return when a result is fetched again that our own disk didn't take."""
    return now_ms + DISK_AGAIN_MS


def next_lookup(account: Account, now_ms: int) -> int:
    """Return when an attempt in doubt is looked up by its own key again."""
    return now_ms + max(lookup_gap_ms(account), LOOKUP_MIN_MS)


def next_callback_lookup(*, tries: int, now_ms: int) -> int:
    """Return when a task that a callback named is asked for again, after `tries` looks before this one that told
    nothing."""
    return now_ms + int(min(CALLBACK_LOOKUP_FIRST_MS * 2 ** min(tries, 10), CALLBACK_LOOKUP_MAX_MS))


def source_is_due(failed_at: int | None, now_ms: int) -> bool:
    """Return whether a source whose last fetch failed at a moment (None: none did) is fetched now."""
    return failed_at is None or failed_at + SOURCE_AGAIN_MS < now_ms or is_ahead(failed_at, now_ms)


def restore_is_due(*, tries: int, tried_at: int | None, now_ms: int) -> bool:
    """Return whether a missing film or source is brought back now, after `tries` in vain, the last at `tried_at`."""
    gap_ms = min(RESTORE_FIRST_MS * 2 ** min(tries, 20), RESTORE_MAX_MS)
    return tried_at is None or not 0 <= now_ms - tried_at < gap_ms


def submit_rest_ms(*, refusals: int, retry_after_s: float | None) -> int:
    """Return for how many milliseconds an account rests after a refused submit that followed `refusals` in a row."""
    asked = 0 if retry_after_s is None else min(int(retry_after_s * 1000), MAX_BACKOFF_MS)
    return int(max(asked, min(REST_FIRST_MS * 2 ** min(refusals, 10), REST_MAX_MS)))


def lookup_gap_ms(account: Account) -> int:
    """Return the milliseconds between two look-ups of an attempt in doubt: the settle window, shared out."""
    return int(account.in_doubt.settle_s * 1000 / max(account.in_doubt.absences, 1))


def poll_lease_ms(settings: Settings, accounts: Collection[Account]) -> int:
    """Return for how many milliseconds a worker leases the tasks that it polls."""
    shortest = min((account.poll.every_s for account in accounts), default=0.0)
    return int(max(shortest, settings.get_deadline_s) * 1000)


def fetch_lease_ms(settings: Settings) -> int:
    """Return for how many milliseconds a worker leases a result that it fetches; it renews the lease meanwhile."""
    return int(settings.lease_s * 1000)


def lookup_lease_ms(settings: Settings) -> int:
    """Return for how many milliseconds a worker leases an attempt that it looks up."""
    return int(settings.get_deadline_s * 1000)


def poll_waits(settings: Settings, accounts: Mapping[str, Account]) -> dict[str, MaxWaits]:
    """Return how far ahead the next look at a running task can lie, by account."""
    lease_ms = poll_lease_ms(settings, accounts.values())
    waits = {}
    for name, account in accounts.items():
        every_ms = int(account.poll.every_s * 1000 * (1 + JITTER))
        healthy_ms = max(int(account.poll.first_after_s * 1000), every_ms, lease_ms)
        failing_ms = int(max(POLL_MAX_MS, POLL_RETRY_AFTER_MAX_MS) * (1 + JITTER))
        waits[name] = MaxWaits(healthy_ms, max(healthy_ms, failing_ms))
    return waits


def fetch_waits(settings: Settings, accounts: Collection[str]) -> dict[str, MaxWaits]:
    """Return how far ahead the next fetch of a result can lie, by account: a lease, or the gap after failed ones."""
    longest = max(FETCH_MAX_MS, fetch_lease_ms(settings))
    return {name: MaxWaits(longest, longest) for name in accounts}


def callback_waits(settings: Settings, accounts: Collection[str]) -> dict[str, MaxWaits]:
    """Return how far ahead the next look at a task that a callback named can lie, by account."""
    longest = max_callback_wait_ms(settings)
    return {name: MaxWaits(longest, longest) for name in accounts}


def max_callback_wait_ms(settings: Settings) -> int:
    """Return how many milliseconds ahead the next look at a task that a callback named can lie."""
    return max(CALLBACK_LOOKUP_MAX_MS, lookup_lease_ms(settings))


def lookup_waits(settings: Settings, accounts: Mapping[str, Account]) -> dict[str, MaxWaits]:
    """Return how far ahead the next look-up by our own key can lie, by account."""
    lease_ms = lookup_lease_ms(settings)
    longest = {name: max(lookup_gap_ms(account), LOOKUP_MIN_MS, lease_ms) for name, account in accounts.items()}
    return {name: MaxWaits(wait_ms, wait_ms) for name, wait_ms in longest.items()}
