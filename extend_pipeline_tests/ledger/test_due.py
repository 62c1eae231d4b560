"""Due attempts are taken in order and once, for any number of requested videos."""

from __future__ import annotations

from itertools import product

from extend_pipeline.engine.fetch.collect import FETCHED
from extend_pipeline.ledger.clock import TOLERANCE_MS
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.ledger.write.hints.job_queue import MaxWaits
from extend_pipeline_tests.support.ledger.steps import CAPS, NOON, claim, request, send, submit

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


def _submitted(ledger: Ledger, keys: str) -> list[str]:
    """Submit a task of each video, and return the attempts."""
    ids = []
    for key in keys:
        (attempt,) = claim(ledger, request(key)).claimed
        send(ledger, attempt.attempt_id)
        submit(ledger, attempt.attempt_id, f"task-{key}")
        ids.append(attempt.attempt_id)
    return ids


def test_an_attempt_that_lost_its_hint_is_listed(ledger: Ledger) -> None:
    keys = _submitted(ledger, "ab")
    with ledger.write(now_ms=NOON, actor="me") as tx:
        assert job_queue.unscheduled(tx.connection, POLLED) == []
        transitions.unschedule(tx, keys[0])
        assert [row.attempt_id for row in job_queue.unscheduled(tx.connection, POLLED)] == keys[:1]


def test_the_look_at_the_queue_and_the_lease_agree_on_what_is_due(ledger: Ledger) -> None:
    (attempt,) = claim(ledger, request("v1")).claimed
    send(ledger, attempt.attempt_id)
    submit(ledger, attempt.attempt_id, "task-v1")
    waits = {"other": MaxWaits(0, 0), "kling-main": MaxWaits(MINUTE_MS, 2 * MINUTE_MS)}
    moments = [sign * minutes * MINUTE_MS + more for sign in (-1, 1) for minutes in range(5) for more in (-1, 0, 1)]
    seen = set()
    for due_at, tries in product(moments, (0, 1)):
        with ledger.write(now_ms=NOON, actor="me") as tx:
            look = LastLook(tries=tries)
            transitions.schedule(tx, attempt.attempt_id, account="kling-main", due_at=NOON + due_at, look=look)
            queue = job_queue.read_queue(tx.connection, now_ms=NOON)
            leased = job_queue.lease_due(tx, states=POLLED, accounts=waits, lease_ms=1, limit=9, owner="me")
        is_due = due_at <= 0 or due_at > TOLERANCE_MS + (2 if tries else 1) * MINUTE_MS
        assert queue.due(POLLED, waits) == (frozenset({"kling-main"}) if is_due else frozenset())
        assert len(leased) == is_due
        assert queue.next_ms == (NOON + due_at if due_at > 0 else None)
        seen.add((is_due, due_at > 0))
        assert queue.due(FETCHED, waits) == queue.due(POLLED, {"other": MaxWaits(0, 0)}) == frozenset()
    assert len(seen) == 3  # due, waiting, and dated by a wrong clock


def test_the_queue_of_chosen_videos_shows_what_waits_for_them_alone(ledger: Ledger) -> None:
    ids = _submitted(ledger, "abc")
    waits = {"kling-main": MaxWaits(MINUTE_MS, 2 * MINUTE_MS)}
    with ledger.write(now_ms=NOON, actor="me") as tx:
        for attempt_id, due_at in zip(ids, (-1, 20, 30), strict=True):
            transitions.schedule(tx, attempt_id, account="kling-main", due_at=NOON + due_at, look=LastLook())

        def seen(videos: str | None) -> tuple[int, int | None]:
            queue = job_queue.read_queue(tx.connection, now_ms=NOON, videos=videos)
            return len(queue.due(POLLED, waits)), None if queue.next_ms is None else queue.next_ms - NOON

        assert {videos: seen(videos) for videos in (None, "abc", "a", "bc", "c", "")} == {
            None: (1, 20),
            "abc": (1, 20),
            "a": (1, None),
            "bc": (0, 20),
            "c": (0, 30),
            "": (0, None),
        }


def test_accounts_with_other_waits_are_leased_in_one_order(ledger: Ledger) -> None:
    caps = {"kling-b": CAPS["kling-main"], **CAPS}
    for number, (key, account) in enumerate(zip("abcd", ["kling-b", "kling-main"] * 2, strict=True)):
        (attempt,) = claim(ledger, request(key, account=account), caps=caps).claimed
        send(ledger, attempt.attempt_id)
        submit(ledger, attempt.attempt_id, f"task-{key}", now_ms=NOON + number)
    accounts = {"kling-main": MaxWaits(MINUTE_MS, MINUTE_MS), "kling-b": MaxWaits(5 * MINUTE_MS, 5 * MINUTE_MS)}
    with ledger.write(now_ms=NOON + 2 * MINUTE_MS, actor="me") as tx:
        leased = job_queue.lease_due(tx, states=POLLED, accounts=accounts, lease_ms=1, limit=3, owner="me")
    assert sorted(due.attempt.video_key for due in leased) == ["a", "b", "c"]


def test_tasks_that_still_run_are_due_again_together_and_those_that_ended_are_not(ledger: Ledger) -> None:
    ids = _submitted(ledger, "abc")
    waits, at = {"kling-main": MaxWaits(2 * MINUTE_MS, 2 * MINUTE_MS)}, NOON + 2 * MINUTE_MS
    with ledger.write(now_ms=at, actor="me") as tx:
        failed = LastLook("no reply", tries=3)
        transitions.schedule(tx, ids[0], account="kling-main", due_at=at, look=failed)
        leased = job_queue.lease_tasks(tx, accounts=waits, lease_ms=1, limit=9, owner="me")
        assert sorted((due.where, due.task, due.tries) for due in leased) == [
            ("a/1", "task-a", 3),
            ("b/1", "task-b", 0),
            ("c/1", "task-c", 0),
        ]
        transitions.move(tx, ids[2], to=AttemptState.FAILED, expect=POLLED, data={"error_reason": "failed"})
        job_queue.still_running(tx, ids, due_at=at + MINUTE_MS)
    with ledger.read() as connection:
        hints = queries.hints(connection, ids)
    assert {key: (hint.due_at, hint.owner, hint.look) for key, hint in hints.items()} == {
        ids[0]: (at + MINUTE_MS, "", LastLook()),
        ids[1]: (at + MINUTE_MS, "", LastLook()),
        ids[2]: (at + 1, "me", LastLook()),
    }
