"""Due attempts are taken in order and once, for any number of requested videos."""

from __future__ import annotations

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.states import POLLED
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline_tests.support.ledger.steps import NOON, claim, request, send, submit

MINUTE_MS = 60_000


def _taken(ledger: Ledger, *, now_ms: int, limit: int = 99, videos: frozenset[str] | None = None) -> list[str]:
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        accounts = {"kling-main": job_queue.MaxWaits(2 * MINUTE_MS, 2 * MINUTE_MS)}
        leased = job_queue.lease_due(
            tx, states=POLLED, accounts=accounts, lease_ms=MINUTE_MS, limit=limit, owner="me", videos=videos
        )
    assert all(due.look == LastLook() and due.attempt.task.startswith("task-") for due in leased)
    return [due.attempt.video_key for due in leased]


def test_due_attempts_are_taken_once_longest_due_first(ledger: Ledger) -> None:
    for number, key in enumerate("cabed"):
        (attempt,) = claim(ledger, request(key)).claimed
        send(ledger, attempt.attempt_id)
        submit(ledger, attempt.attempt_id, f"task-{key}", now_ms=NOON + number)
    at = NOON + 2 * MINUTE_MS
    assert _taken(ledger, now_ms=NOON) == []
    assert _taken(ledger, now_ms=at, limit=2) == ["c", "a"]
    many = frozenset({"a", "b", "d", *(f"v{number}" for number in range(100_000))})
    assert _taken(ledger, now_ms=at, limit=1, videos=many) == ["b"]
    assert _taken(ledger, now_ms=at, videos=many) == ["d"]
    assert _taken(ledger, now_ms=at) == ["e"]
    assert _taken(ledger, now_ms=at) == []
    assert sorted(_taken(ledger, now_ms=at + MINUTE_MS)) == ["a", "b", "c", "d", "e"]


def test_an_attempt_that_lost_its_hint_is_listed(ledger: Ledger) -> None:
    keys = []
    for key in "ab":
        (attempt,) = claim(ledger, request(key)).claimed
        send(ledger, attempt.attempt_id)
        submit(ledger, attempt.attempt_id, f"task-{key}")
        keys.append(attempt.attempt_id)
    with ledger.write(now_ms=NOON, actor="me") as tx:
        assert job_queue.unscheduled(tx.connection, POLLED) == []
        transitions.unschedule(tx, keys[0])
        assert [row.attempt_id for row in job_queue.unscheduled(tx.connection, POLLED)] == keys[:1]
