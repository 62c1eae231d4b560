"""What a hop costs in statements, and that one transaction for many events leaves the same ledger as one for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.projection.replay import differences, replay
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import claims, controls, transitions
from extend_pipeline.ledger.write.claims import ClaimRequest
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.ledger.write.hints.job_queue import MaxWaits
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline_tests.support.ledger.steps import CAPS, NOON, request, run_through

S = AttemptState

WAITS: Final = {"kling-main": MaxWaits(60_000, 600_000)}
LEASE: Final = NOON + 180_000
FILE: Final = {"sha256": "ab" * 32, "path": "ab/ab.mp4", "bytes": 5, "output_kind": "full", "probed_duration_ms": 9_600}


@contextmanager
def counted(ledger: Ledger) -> Iterator[list[str]]:
    """Collect the statements that reach the database; a batch of rows is one."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        statements.append(statement)

    event.listen(ledger.engine, "before_cursor_execute", note)
    yield statements
    event.remove(ledger.engine, "before_cursor_execute", note)


def wave(ledger: Ledger, name: str, size: int) -> None:
    """Move new hops from their claim to the store, with the transactions of the engine."""
    requests = [request(f"{name}-{number}", purchase=f"{name}-{number}", tries_seen=0) for number in range(size)]
    attempt_ids = [step.attempt_id for step in requests]

    def write() -> AbstractContextManager[LedgerTransaction]:
        return ledger.write(now_ms=NOON, actor="me")

    with write() as tx:
        assert len(claims.claim(tx, requests, caps=CAPS, owner="me", lease_until=LEASE).claimed) == size
    with write() as tx:
        tx.expect(attempt_ids)
        for attempt_id in attempt_ids:
            assert isinstance(transitions.mark_sending(tx, attempt_id, owner="me", lease_until=LEASE), Moved)
    with write() as tx:
        tx.expect(attempt_ids)
        for attempt_id in attempt_ids:
            task = f"task-{attempt_id}"
            moved = transitions.submitted(tx, attempt_id, task_id=task, found_by="post", due_at=NOON)
            assert isinstance(moved, Moved)
            controls.clear_backoff(tx, "kling-main")
    assert len(_leased(ledger, POLLED)) == size
    with write() as tx:
        tx.expect(attempt_ids)
        for attempt_id in attempt_ids:
            data = {"video_id": "9", "url": "https://x/9.mp4", "reported_duration_ms": 9_600, "reported_micros": 2}
            assert isinstance(transitions.move(tx, attempt_id, to=S.SUCCEEDED, expect=POLLED, data=data), Moved)
            transitions.schedule(tx, attempt_id, account="kling-main", due_at=NOON)
    assert len(_leased(ledger, (S.SUCCEEDED,))) == size
    for attempt_id in attempt_ids:
        with write() as tx:
            assert isinstance(transitions.stored(tx, attempt_id, data=FILE), Moved)
            transitions.unschedule(tx, attempt_id)


def _leased(ledger: Ledger, states: Sequence[AttemptState]) -> list[Any]:
    with ledger.write(now_ms=NOON, actor="me") as tx:
        return job_queue.lease_due(
            tx, states=states, accounts=WAITS, lease_ms=1_000, limit=2_000, owner="me", soonest_expiring_first=True
        )


def test_a_hop_of_a_wave_costs_few_statements_and_more_of_them_cost_little_more(ledger: Ledger) -> None:
    wave(ledger, "first", 2)
    with counted(ledger) as of_eight:
        wave(ledger, "eight", 8)
    with counted(ledger) as of_sixteen:
        wave(ledger, "sixteen", 16)
    assert len(of_eight) / 8 <= 20
    # beyond the first, a hop costs its own store transaction and the look for another holder of its task
    assert (len(of_sixteen) - len(of_eight)) / 8 <= 10
    assert check_invariants(ledger) == []


def test_nothing_is_read_again_that_the_transaction_has_read_or_written(ledger: Ledger) -> None:
    wave(ledger, "first", 1)
    requests = [request(f"v{number}") for number in range(8)]
    with counted(ledger) as statements, ledger.write(now_ms=NOON, actor="me") as tx:
        claims.claim(tx, requests, caps=CAPS, owner="me", lease_until=LEASE)
        for step in requests:
            transitions.mark_sending(tx, step.attempt_id, owner="me", lease_until=LEASE)
            transitions.submitted(tx, step.attempt_id, task_id=step.attempt_id, found_by="post", due_at=NOON)
            transitions.state_of(tx, step.attempt_id)
    assert not [statement for statement in statements if "attempts.evidence" in statement]  # a whole attempt
    written = [statement.split()[:3] for statement in statements if statement.startswith(("INSERT", "UPDATE"))]
    # one statement a table, and the head
    tables_written = {"events", "attempts", "charges", "accounts", "account_days", "schedule", "ledger_head"}
    assert len(written) == len(tables_written)
    assert {name for _, *words in written for name in words} & tables_written == tables_written


def _claim(step: ClaimRequest) -> Callable[[LedgerTransaction], Any]:
    return lambda tx: claims.claim(tx, [step], caps=CAPS, owner="me", lease_until=LEASE)


def _story() -> list[Callable[[LedgerTransaction], Any]]:
    """A history with every way in which a row is written more than once."""
    good, refused, doubtful = request("good"), request("refused"), request("doubtful")
    again = request("refused", try_no=2, last_attempt_id=refused.attempt_id)
    done: dict[str, Any] = {"url": "https://x/9.mp4", "reported_micros": 1_500_000}
    error = {"error_reason": "busy", "error_message": "no"}

    def sending(step: ClaimRequest) -> Callable[[LedgerTransaction], Any]:
        return lambda tx: transitions.mark_sending(tx, step.attempt_id, owner="me", lease_until=LEASE)

    def accepted(step: ClaimRequest, task: str) -> Callable[[LedgerTransaction], Any]:
        return lambda tx: transitions.submitted(tx, step.attempt_id, task_id=task, found_by="post", due_at=NOON)

    def moved(step: ClaimRequest, to: AttemptState, data: dict[str, Any]) -> Callable[[LedgerTransaction], Any]:
        return lambda tx: transitions.move(tx, step.attempt_id, to=to, expect=frozenset(S), data=data)

    return [
        *(_claim(step) for step in (good, refused, doubtful)),
        *(sending(step) for step in (good, refused, doubtful)),
        accepted(good, "task-1"),
        accepted(doubtful, "task-1"),  # another attempt's: kept as evidence
        moved(refused, S.REJECTED, error),
        lambda tx: controls.back_off(tx, "kling-main", wait_ms=1, note="busy"),
        lambda tx: controls.clear_backoff(tx, "kling-main"),
        _claim(again),  # in the place of the one that has ended
        moved(doubtful, S.IN_DOUBT, error),
        lambda tx: transitions.absent(tx, doubtful.attempt_id, min_gap_ms=0),
        lambda tx: transitions.absent(tx, doubtful.attempt_id, min_gap_ms=0),
        lambda tx: controls.stop_account(tx, "kling-main", reason="balance", message="empty"),
        moved(good, S.SUCCEEDED, done),
        lambda tx: transitions.schedule(tx, good.attempt_id, account="kling-main", due_at=NOON + 1),
        lambda tx: transitions.stored(tx, good.attempt_id, data=FILE),
        lambda tx: transitions.unschedule(tx, good.attempt_id),
        lambda tx: controls.resume(tx, why="paid"),
        lambda tx: controls.write_off(tx, doubtful.attempt_id, data=error),
        moved(again, S.RELEASED, error),
    ]


@pytest.mark.parametrize("at_once", [5, 100])
def test_many_events_in_one_transaction_leave_the_same_ledger_as_one_in_each(
    at_once: int, ledger: Ledger, tmp_path: Path
) -> None:
    story = _story()
    for start in range(0, len(story), at_once):
        with ledger.write(now_ms=NOON, actor="me") as tx:
            for step in story[start : start + at_once]:
                step(tx)
    with closing(open_ledger(f"sqlite:///{tmp_path}/single.sqlite")) as single:
        for step in story:
            with single.write(now_ms=NOON, actor="me") as tx:
                step(tx)
        assert differences(ledger, single) == []
        for table in (tables.events, tables.schedule, tables.backoff):
            with ledger.read() as left, single.read() as right:
                key = next(iter(table.primary_key.columns))
                rows = [connection.execute(select(table).order_by(key)).all() for connection in (left, right)]
            assert list(map(tuple, rows[0])) == list(map(tuple, rows[1]))
    with closing(open_ledger(f"sqlite:///{tmp_path}/again.sqlite")) as again:
        assert replay(ledger, again) == len(event_numbers(ledger))
        assert differences(ledger, again) == []
    assert check_invariants(ledger) == []


def event_numbers(ledger: Ledger) -> list[int]:
    with ledger.read() as connection:
        return list(connection.execute(select(tables.events.c.seq)).scalars())


def test_a_statement_sees_what_was_appended_before_it(ledger: Ledger) -> None:
    run_through(ledger, "before")
    with ledger.write(now_ms=NOON, actor="me") as tx:
        claims.claim(tx, [request("now")], caps=CAPS, owner="me", lease_until=LEASE)
        count = select(func.count()).select_from(tables.attempts)
        assert tx.connection.execute(count).scalar_one() == 2
        assert queries.accounts(tx.connection)["kling-main"].in_flight == 1


def _claim_and_fail(ledger: Ledger) -> None:
    with ledger.write(now_ms=NOON, actor="me") as tx:
        claims.claim(tx, [request("now")], caps=CAPS, owner="me", lease_until=LEASE)
        raise ZeroDivisionError


def test_a_transaction_that_fails_leaves_no_trace(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        _claim_and_fail(ledger)
    assert event_numbers(ledger) == []
