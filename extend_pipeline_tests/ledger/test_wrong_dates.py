"""What a clock that was ahead wrote into the ledger: due times, leases, backoffs, absences and the budget of a day."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, TOLERANCE_MS, lease_runs, still_waits
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import budget_days
from extend_pipeline.ledger.spending_rules import BlockReason, BudgetLimits
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import controls, transitions
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.ledger.write.transitions import Moved, Stale
from extend_pipeline_tests.support.ledger.steps import NOON, claim, move, request, send, submit, succeed

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SMALL = {"kling-main": BudgetLimits(4_000_000, 2_000_000_000, 20, 100_000_000)}  # two steps a day
WAITS = {"kling-main": job_queue.MaxWaits(60_000, 600_000)}


def committed(connection: Connection, now_ms: int) -> dict[str, int]:
    """Return what counts against today in UTC, in micro-units by account."""
    return {name: today.micros for name, today in budget_days.committed(connection, now_ms, zone="UTC").items()}


def refusals(ledger: Ledger, *videos: str, now_ms: int) -> list[BlockReason]:
    """Return why each of the videos' first hops was not claimed."""
    return [refused.reason for refused in claim(ledger, *map(request, videos), now_ms=now_ms, caps=SMALL).refused]


@pytest.mark.parametrize("ahead_ms", [DAY_MS, 3_650 * DAY_MS], ids=["a day", "ten years"])
def test_a_claim_of_a_later_day_counts_against_today_and_no_other_day(ledger: Ledger, ahead_ms: int) -> None:
    (before,) = claim(ledger, request("a"), now_ms=NOON, caps=SMALL).claimed
    move(ledger, before.attempt_id, AttemptState.RELEASED)  # the day began with an event by a right clock
    claim(ledger, request("b"), now_ms=NOON + ahead_ms, caps=SMALL)
    with ledger.read() as connection:
        assert committed(connection, NOON + HOUR_MS) == {"kling-main": 2_000_000}
    assert refusals(ledger, "c", "d", now_ms=NOON + HOUR_MS) == [BlockReason.DAY_BUDGET]
    with ledger.read() as connection:
        assert committed(connection, NOON + HOUR_MS) == {"kling-main": 4_000_000}
        tomorrow = committed(connection, NOON + DAY_MS + HOUR_MS)
    assert tomorrow.get("kling-main", 0) == (2_000_000 if ahead_ms == DAY_MS else 0)
    assert check_invariants(ledger) == []


def test_an_attempt_that_ends_after_its_day_gives_nothing_back_to_another_day(ledger: Ledger) -> None:
    """Release a reservation on the day under which it was made, also where the attempt ends on the next day."""
    (attempt,) = claim(ledger, request("a"), now_ms=NOON + 30 * DAY_MS).claimed
    send(ledger, attempt.attempt_id, now_ms=NOON + 30 * DAY_MS)
    submit(ledger, attempt.attempt_id, now_ms=NOON)
    succeed(ledger, attempt.attempt_id, reported_micros=0, now_ms=NOON + DAY_MS)
    claim(ledger, request("b"), now_ms=NOON + DAY_MS)
    with ledger.read() as connection:
        assert committed(connection, NOON + DAY_MS) == {"kling-main": 2_000_000}


def test_a_due_time_counts_up_to_the_longest_wait_and_is_due_now_beyond_it(ledger: Ledger) -> None:
    (attempt,) = claim(ledger, request("a")).claimed
    send(ledger, attempt.attempt_id)
    submit(ledger, attempt.attempt_id)

    def is_due(in_ms: int, tries: int) -> bool:
        with ledger.write(now_ms=NOON, actor="me") as tx:
            transitions.schedule(
                tx, attempt.attempt_id, account="kling-main", due_at=NOON + in_ms, look=LastLook(tries=tries)
            )
        return job_queue.has_due(ledger, now_ms=NOON, states=POLLED, accounts=WAITS)

    assert [is_due(in_ms, 0) for in_ms in (0, 60_000, 60_000 + TOLERANCE_MS, 61_000 + TOLERANCE_MS)] == [
        True,
        False,
        False,
        True,
    ]
    assert [is_due(in_ms, 1) for in_ms in (600_000, 601_000 + TOLERANCE_MS)] == [False, True]
    with ledger.write(now_ms=NOON, actor="me") as tx:
        taken = job_queue.lease_due(tx, states=POLLED, accounts=WAITS, lease_ms=30_000, limit=9, owner="me")
        assert [due.attempt.attempt_id for due in taken] == [attempt.attempt_id]
    assert not job_queue.has_due(ledger, now_ms=NOON, states=POLLED, accounts=WAITS), "it is held"
    with ledger.write(now_ms=NOON, actor="me") as tx:
        job_queue.release(tx, [attempt.attempt_id], owner="another-worker")
    assert not job_queue.has_due(ledger, now_ms=NOON, states=POLLED, accounts=WAITS)
    with ledger.write(now_ms=NOON, actor="me") as tx:
        job_queue.release(tx, [attempt.attempt_id], owner="me")
    assert job_queue.has_due(ledger, now_ms=NOON, states=POLLED, accounts=WAITS)


def test_a_backoff_beyond_the_longest_one_is_ignored(ledger: Ledger) -> None:
    for ahead_ms, refused in ((0, [BlockReason.BACKOFF]), (2 * HOUR_MS, [])):
        with ledger.write(now_ms=NOON + ahead_ms, actor="me") as tx:
            controls.clear_backoff(tx, "kling-main")
            controls.back_off(tx, "kling-main", wait_ms=MAX_BACKOFF_MS, note="busy")
        assert refusals(ledger, "a", now_ms=NOON) == refused


def test_a_claim_that_is_dated_after_now_is_not_sent(ledger: Ledger) -> None:
    (attempt,) = claim(ledger, request("a"), now_ms=NOON + HOUR_MS).claimed
    assert isinstance(send(ledger, attempt.attempt_id, now_ms=NOON), Stale)
    assert isinstance(send(ledger, attempt.attempt_id, now_ms=NOON + HOUR_MS), Moved)


def test_absences_that_a_clock_ahead_counted_are_counted_anew(ledger: Ledger) -> None:
    (attempt,) = claim(ledger, request("a")).claimed
    send(ledger, attempt.attempt_id)
    move(ledger, attempt.attempt_id, AttemptState.IN_DOUBT)
    counts = []
    for at_ms in (NOON + HOUR_MS, NOON + 2 * HOUR_MS, NOON, NOON + 1_000, NOON + 60_000):
        with ledger.write(now_ms=at_ms, actor="me") as tx:
            counts.append(transitions.absent(tx, attempt.attempt_id, min_gap_ms=30_000))
    assert counts == [1, 2, 1, 1, 2]
    assert check_invariants(ledger) == []


def test_waits_and_leases_at_their_edges() -> None:
    now, far = NOON, TOLERANCE_MS
    assert [still_waits(until, now, longest_ms=10) for until in (now, now + 1, now + 10 + far, now + 11 + far)] == [
        False,
        True,
        True,
        False,
    ]
    assert lease_runs(now, now + 1, now)
    assert not lease_runs(now, now, now)
    assert lease_runs(now + far, now + far + 9, now)
    assert not lease_runs(now + far + 1, now + far + 9, now)
