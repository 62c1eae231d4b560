"""A due time that this engine has computed is never taken for one that a wrong clock has written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.config.model.account import InDoubt, Poll
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.polling import schedule
from extend_pipeline.providers.kling.models import KlingAccount

NOW_MS = 1_700_000_000_000
SETTINGS = Settings()

seconds = st.floats(min_value=0, max_value=86_400, allow_nan=False)
tries = st.integers(min_value=0, max_value=100)
jitters = st.floats(min_value=-1, max_value=1, allow_nan=False)


def account(
    *, first_after_s: float = 60, every_s: float = 15, settle_s: float = 600, absences: int = 3
) -> KlingAccount:
    """Return an account with these waits; nothing else of it is read."""
    return KlingAccount.model_construct(
        name="k",
        poll=Poll.model_construct(first_after_s=first_after_s, every_s=every_s),
        in_doubt=InDoubt.model_construct(settle_s=settle_s, absences=absences),
    )


@given(seconds, st.floats(min_value=0.01, max_value=86_400), tries, seconds, jitters)
def test_no_poll_is_farther_ahead_than_its_longest_wait(
    first_after_s: float, every_s: float, failed: int, retry_after_s: float, jitter: float
) -> None:
    polled = account(first_after_s=first_after_s, every_s=every_s)
    waits = schedule.poll_waits(SETTINGS, {"k": polled})["k"]
    assert schedule.first_poll(polled, NOW_MS) - NOW_MS <= waits.healthy_ms
    again = schedule.next_poll(polled, tries=failed, retry_after_s=retry_after_s, now_ms=NOW_MS, jitter=jitter)
    assert again - NOW_MS <= waits.failing_ms
    regular = schedule.next_poll(polled, tries=0, retry_after_s=0, now_ms=NOW_MS, jitter=jitter)
    assert NOW_MS < regular <= NOW_MS + waits.healthy_ms
    assert schedule.poll_lease_ms(SETTINGS, [polled]) <= waits.healthy_ms


@given(tries)
def test_no_fetch_is_farther_ahead_than_its_longest_wait(failed: int) -> None:
    waits = schedule.fetch_waits(SETTINGS, ["k"])["k"]
    assert schedule.next_fetch(tries=failed, now_ms=NOW_MS) - NOW_MS <= waits.failing_ms
    assert schedule.next_fetch_without_space(NOW_MS) - NOW_MS <= waits.failing_ms
    assert schedule.fetch_lease_ms(SETTINGS) <= waits.failing_ms


@given(st.floats(min_value=0, max_value=604_800), st.integers(min_value=1, max_value=1000), tries)
def test_no_look_up_is_farther_ahead_than_its_longest_wait(settle_s: float, absences: int, failed: int) -> None:
    doubted = account(settle_s=settle_s, absences=absences)
    waits = schedule.lookup_waits(SETTINGS, {"k": doubted})["k"]
    assert schedule.next_lookup(doubted, NOW_MS) - NOW_MS <= waits.failing_ms
    named = schedule.callback_waits(SETTINGS, ["k"])["k"]
    assert schedule.next_callback_lookup(tries=failed, now_ms=NOW_MS) - NOW_MS <= named.failing_ms
    assert schedule.lookup_lease_ms(SETTINGS) <= min(waits.failing_ms, named.failing_ms)


@given(st.floats(min_value=0.01, max_value=86_400), tries, seconds, jitters)
def test_a_failing_task_is_polled_less_often_and_within_bounds(
    every_s: float, failed: int, retry_after_s: float, jitter: float
) -> None:
    polled = account(every_s=every_s)
    gap_ms = schedule.next_poll(polled, tries=failed, retry_after_s=retry_after_s, now_ms=0, jitter=jitter)
    least_ms = every_s * 1000 * (1 - schedule.JITTER)
    bounds_ms = (every_s * 1000, schedule.FAILED_POLL_MAX_MS, schedule.POLL_RETRY_AFTER_MAX_MS)
    assert int(least_ms) <= gap_ms <= max(bounds_ms) * (1 + schedule.JITTER)


@given(st.floats(min_value=0.01, max_value=86_400), tries)
def test_an_account_that_does_not_reply_is_asked_less_and_less_often(every_s: float, silences: int) -> None:
    asked = account(every_s=every_s)
    gap_ms = schedule.ask_gap_ms(asked, silences + 1)
    assert schedule.ask_gap_ms(asked, silences) <= gap_ms <= schedule.max_ask_wait_ms(SETTINGS, asked)
    assert schedule.ask_gap_ms(asked, 100) == int(max(schedule.ASK_MAX_MS, every_s * 1000)) or every_s < 0.3
