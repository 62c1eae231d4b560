"""Compute when polls, fetches and look-ups are due: the gaps, back-offs and leases of scheduled attempts, and how far
ahead a due time can lie because of them. Pure; times in UTC ms."""

from collections.abc import Collection, Mapping
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, is_ahead
from extend_pipeline.ledger.write.hints.job_queue import MaxWaits

JITTER: Final = 0.2  # so that tasks submitted together are not polled together
FAILED_POLL_MAX_MS: Final = 300_000  # after failed queries; so that the end of an outage is noticed within minutes
POLL_RETRY_AFTER_MAX_MS: Final = 600_000  # a longer Retry-After of a query is cut, because a poll costs nothing

FETCH_FIRST_MS: Final = 2_000  # after a failed fetch; doubles
FETCH_MAX_MS: Final = 600_000  # so that a result that can't be fetched is tried six times an hour
NO_SPACE_RETRY_MS: Final = 30_000  # until a result is fetched again for which the disk had no space

RESTORE_FIRST_MS: Final = 60_000  # after a film or a source that could not be restored; doubles
RESTORE_MAX_MS: Final = 6 * 3_600_000  # so that what can't be restored is tried four times a day

MAX_LEASE_S: Final = 45.0
"""The longest lease of a poll or a fetch, in seconds, because what a killed process of another host or container has
leased waits for its end. A fetch renews its lease three times meanwhile."""

LOOKUP_MIN_MS: Final = 500  # where the settle window is 0, as in tests

CALLBACK_LOOKUP_FIRST_MS: Final = 2_000  # between queries of a task that a callback named; doubles
CALLBACK_LOOKUP_MAX_MS: Final = 3_600_000  # so that a task that is not found is queried less and less

SOURCE_AGAIN_MS: Final = 600_000  # between two tries to fetch a source that was unreachable

ASK_MAX_MS: Final = 300_000  # between two questions to an account that doesn't reply; as after failed polls

BACKOFF_FIRST_MS: Final = 1_000  # of an account after a refused submit; doubles with every refusal in a row
BACKOFF_MAX_MS: Final = 60_000  # a hop runs 4 to 6 minutes, so a slot becomes free within minutes


def first_poll(account: Account, now_ms: int) -> int:
    """Return when a task that was just submitted is first polled."""
    return now_ms + int(account.poll.first_after_s * 1000)


def next_poll(account: Account, *, tries: int, retry_after_s: float, now_ms: int, jitter: float) -> int:
    """Return when a task is polled again, after `tries` failed polls in a row. `retry_after_s` is the wait
    that the provider asked for, 0 if none; `jitter` lies in −1 … 1."""
    every_ms = account.poll.every_s * 1000
    gap = min(every_ms * 2 ** min(tries, 10), max(FAILED_POLL_MAX_MS, every_ms)) if tries else every_ms
    return now_ms + int(max(gap, min(retry_after_s * 1000, POLL_RETRY_AFTER_MAX_MS)) * (1 + JITTER * jitter))


def ask_gap_ms(account: Account, silences: int) -> int:
    """Return for how many ms an account is asked nothing after `silences` queries in a row without a reply; it doubles
    with each."""
    every_ms = account.poll.every_s * 1000
    return int(min(every_ms * 2 ** min(silences, 10), max(ASK_MAX_MS, every_ms)))


def max_ask_wait_ms(settings: Settings, account: Account) -> int:
    """Return how many ms ahead the next question to an account that doesn't reply can lie: the longest gap, or the time
    for which a worker asks."""
    return int(max(ASK_MAX_MS, account.poll.every_s * 1000, settings.get_deadline_s * 1000))


def next_fetch(*, tries: int, now_ms: int) -> int:
    """Return when a result is fetched again, after `tries` fetches in a row that made no progress."""
    return now_ms + int(min(FETCH_FIRST_MS * 2 ** min(max(tries - 1, 0), 10), FETCH_MAX_MS))


def next_fetch_without_space(now_ms: int) -> int:
    """Return when a result is fetched again for which the disk had no space."""
    return now_ms + NO_SPACE_RETRY_MS


def next_lookup(account: Account, now_ms: int) -> int:
    """Return when an attempt in doubt is looked up by its own key again."""
    return now_ms + max(lookup_gap_ms(account), LOOKUP_MIN_MS)


def next_callback_lookup(*, tries: int, now_ms: int) -> int:
    """Return when a task that a callback named is queried again, after `tries` earlier queries without a result."""
    return now_ms + int(min(CALLBACK_LOOKUP_FIRST_MS * 2 ** min(tries, 10), CALLBACK_LOOKUP_MAX_MS))


def source_is_due(failed_at: int | None, now_ms: int) -> bool:
    """Return whether a source is fetched now whose last fetch failed at `failed_at` (UTC ms; None: none failed)."""
    return failed_at is None or failed_at + SOURCE_AGAIN_MS < now_ms or is_ahead(failed_at, now_ms)


def restore_is_due(*, tries: int, tried_at: int | None, now_ms: int) -> bool:
    """Return whether a missing film or source is restored now, after `tries` failures, the last at `tried_at`."""
    gap_ms = min(RESTORE_FIRST_MS * 2 ** min(tries, 20), RESTORE_MAX_MS)
    return tried_at is None or not 0 <= now_ms - tried_at < gap_ms


def submit_backoff_ms(*, refusals: int, retry_after_s: float | None) -> int:
    """Return for how many ms an account backs off after a refused submit that followed `refusals` in a row."""
    retry_after_ms = 0 if retry_after_s is None else min(int(retry_after_s * 1000), MAX_BACKOFF_MS)
    return int(max(retry_after_ms, min(BACKOFF_FIRST_MS * 2 ** min(refusals, 10), BACKOFF_MAX_MS)))


def lookup_gap_ms(account: Account) -> int:
    """Return the ms between two look-ups of an attempt in doubt: the settle window divided by the absences."""
    return int(account.in_doubt.settle_s * 1000 / max(account.in_doubt.absences, 1))


def poll_lease_ms(settings: Settings, accounts: Collection[Account]) -> int:
    """Return the ms for which a worker leases the tasks that it polls: no less than a query may take, and no less than
    the shortest interval of the accounts, up to a bound, so that no other worker polls the same task in between."""
    shortest = min((account.poll.every_s for account in accounts), default=0.0)
    return int(max(min(shortest, MAX_LEASE_S), settings.get_deadline_s) * 1000)


def fetch_lease_ms(settings: Settings) -> int:
    """Return the ms for which a worker leases a result that it fetches; it renews the lease meanwhile."""
    return int(min(settings.lease_s, MAX_LEASE_S) * 1000)


def lookup_lease_ms(settings: Settings) -> int:
    """Return the ms for which a worker leases an attempt that it looks up."""
    return int(settings.get_deadline_s * 1000)


def poll_waits(settings: Settings, accounts: Mapping[str, Account]) -> dict[str, MaxWaits]:
    """Return how far ahead the next poll of a running task can lie, by account."""
    lease_ms = poll_lease_ms(settings, accounts.values())
    waits = {}
    for name, account in accounts.items():
        every_ms = int(account.poll.every_s * 1000 * (1 + JITTER))
        healthy_ms = max(int(account.poll.first_after_s * 1000), every_ms, lease_ms)
        failing_ms = int(max(FAILED_POLL_MAX_MS, POLL_RETRY_AFTER_MAX_MS) * (1 + JITTER))
        waits[name] = MaxWaits(healthy_ms, max(healthy_ms, failing_ms))
    return waits


def fetch_waits(settings: Settings, accounts: Collection[str]) -> dict[str, MaxWaits]:
    """Return how far ahead the next fetch of a result can lie, by account: a lease, or the gap after failed ones."""
    longest = max(FETCH_MAX_MS, fetch_lease_ms(settings))
    return {name: MaxWaits(longest, longest) for name in accounts}


def callback_waits(settings: Settings, accounts: Collection[str]) -> dict[str, MaxWaits]:
    """Return how far ahead the next query of a task that a callback named can lie, by account."""
    longest = max_callback_wait_ms(settings)
    return {name: MaxWaits(longest, longest) for name in accounts}


def max_callback_wait_ms(settings: Settings) -> int:
    """Return how many ms ahead the next query of a task that a callback named can lie."""
    return max(CALLBACK_LOOKUP_MAX_MS, lookup_lease_ms(settings))


def lookup_waits(settings: Settings, accounts: Mapping[str, Account]) -> dict[str, MaxWaits]:
    """Return how far ahead the next look-up by our own key can lie, by account."""
    lease_ms = lookup_lease_ms(settings)
    longest = {name: max(lookup_gap_ms(account), LOOKUP_MIN_MS, lease_ms) for name, account in accounts.items()}
    return {name: MaxWaits(wait_ms, wait_ms) for name, wait_ms in longest.items()}
