"""When a query is repeated: the waits as pure numbers, the loop with a clock of the test."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.providers.http.retry import (
    RETRY_AFTER_CAP_S,
    AttemptResult,
    RetryPolicy,
    clock_skew,
    next_wait,
    retry_after,
    with_retries,
)

NOW = 1_780_000_000.0
POLICY = RetryPolicy(attempts=4, wait_initial_s=1.0, wait_max_s=3.0, min_left_s=0.5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "999999999"}, RETRY_AFTER_CAP_S),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "Thu, 28 May 2026 20:27:00 -0000"}, 20.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "٧"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Mon, 99 Foo 2026 99:99:99 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds


@given(st.text(), st.text())
def test_no_header_breaks_the_reading_or_leaves_its_bounds(value: str, millis: str) -> None:
    seconds = retry_after({"retry-after": value, "retry-after-ms": millis}, now=NOW)
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_CAP_S


def test_the_clock_is_compared_with_the_upstreams_date() -> None:
    assert clock_skew({"date": formatdate(NOW - 300, usegmt=True)}, now=NOW) == 300
    assert clock_skew({"date": "yesterday"}, now=NOW) is None


def test_waits_double_up_to_their_limit_and_half_of_each_is_chance() -> None:
    def waits(chance: float) -> list[float | None]:
        return [next_wait(attempts, None, left_s=60, policy=POLICY, chance=chance) for attempts in (1, 2, 3, 4)]

    assert waits(1.0) == [1.0, 2.0, 3.0, None]
    assert waits(0.0) == [0.5, 1.0, 1.5, None]


def test_a_retry_after_is_kept_and_never_shortened() -> None:
    assert next_wait(1, 20.0, left_s=60, policy=POLICY, chance=0) == 20.0
    assert next_wait(1, 20.0, left_s=20.4, policy=POLICY, chance=0) is None
    assert next_wait(1, 0.0, left_s=60, policy=POLICY, chance=0) == 0.5


@given(st.integers(1, 9), st.none() | st.floats(0, 3600), st.floats(-10, 100), st.floats(0, 1, exclude_max=True))
def test_a_wait_always_leaves_time_for_another_attempt(
    attempts: int, retry_after_s: float | None, left_s: float, chance: float
) -> None:
    wait = next_wait(attempts, retry_after_s, left_s=left_s, policy=POLICY, chance=chance)
    assert wait is None or (0 < wait <= left_s - POLICY.min_left_s and attempts < POLICY.attempts)
    assert wait is None or retry_after_s is None or wait >= retry_after_s


class _Script:
    def __init__(self, *tries: AttemptResult[str]) -> None:
        self.tries = list(tries)
        self.allowed: list[float] = []

    def __call__(self, allowed_s: float) -> AttemptResult[str]:
        self.allowed.append(allowed_s)
        return self.tries[min(len(self.allowed), len(self.tries)) - 1]


FAST = RetryPolicy(attempts=3, wait_initial_s=0.01, wait_max_s=0.02, min_left_s=0.001)


def test_the_first_answer_that_needs_no_repeating_stands() -> None:
    script = _Script(AttemptResult("no", again=True), AttemptResult("yes"), AttemptResult("never"))
    assert with_retries(script, deadline_s=5, policy=FAST) == "yes"
    assert len(script.allowed) == 2
    assert script.allowed[1] < script.allowed[0] <= 5


def test_the_last_outcome_stands_when_the_attempts_are_used_up() -> None:
    script = _Script(
        AttemptResult("1", again=True),
        AttemptResult("2", again=True),
        AttemptResult("3", again=True),
        AttemptResult("4"),
    )
    assert with_retries(script, deadline_s=5, policy=FAST) == "3"


def test_nothing_is_repeated_when_the_time_is_used_up() -> None:
    moments = iter([0.0, 0.0, 4.9995])
    script = _Script(AttemptResult("late", again=True), AttemptResult("never"))
    assert with_retries(script, deadline_s=5, policy=FAST, clock=lambda: next(moments)) == "late"
    assert len(script.allowed) == 1


def test_a_retry_after_beyond_the_deadline_is_handed_to_the_caller() -> None:
    script = _Script(AttemptResult("busy", again=True, retry_after_s=60), AttemptResult("never"))
    assert with_retries(script, deadline_s=5, policy=FAST) == "busy"
    assert len(script.allowed) == 1


def test_an_error_of_our_own_is_not_repeated() -> None:
    def broken(_allowed_s: float) -> AttemptResult[str]:
        raise KeyError("a mistake in the program")

    with pytest.raises(KeyError):
        with_retries(broken, deadline_s=5, policy=FAST)


def test_between_attempts_the_loop_sleeps_the_wait_or_the_longer_retry_after() -> None:
    script = _Script(
        AttemptResult("1", again=True), AttemptResult("2", again=True, retry_after_s=7), AttemptResult("3")
    )
    slept: list[float] = []
    outcome = with_retries(
        script, deadline_s=60, policy=POLICY, clock=lambda: 0.0, sleep=slept.append, chance=lambda: 1.0
    )
    assert (outcome, slept) == ("3", [1.0, 7])
