"""Moves, charges and invariants, on SQLite and on PostgreSQL."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection import invariants, replay
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason, BudgetLimits
from extend_pipeline.ledger.states import LIVE, MOVES, AttemptState
from extend_pipeline.ledger.write import controls, transitions
from extend_pipeline.ledger.write.transitions import Moved, Stale
from extend_pipeline_tests.support.ledger.steps import (
    NOON,
    claim,
    move,
    request,
    run_through,
    send,
    store,
    submit,
    succeed,
)
from extend_pipeline_tests.support.user_texts import check_user_text

S = AttemptState


def entries(ledger: Ledger, attempt_id: str) -> list[tuple[str, int]]:
    with ledger.read() as connection:
        table = tables.charges
        rows = connection.execute(select(table).where(table.c.attempt_id == attempt_id).order_by(table.c.seq))
        return [(row.entry, row.micros) for row in rows]


def state(ledger: Ledger, attempt_id: str) -> str:
    with ledger.read() as connection:
        table = tables.attempts
        return str(connection.execute(select(table.c.state).where(table.c.attempt_id == attempt_id)).scalar_one())


def test_a_hop_that_goes_well_reserves_then_settles_what_was_reported(ledger: Ledger) -> None:
    attempt_id = run_through(ledger)
    assert state(ledger, attempt_id) == "stored"
    assert entries(ledger, attempt_id) == [("reserve", 2_000_000), ("release", -2_000_000), ("settle", 2_000_000)]
    assert check_invariants(ledger) == []


def test_without_a_reported_deduction_the_prediction_is_settled_and_called_estimated(ledger: Ledger) -> None:
    step = request()
    claim(ledger, step)
    send(ledger, step.attempt_id)
    submit(ledger, step.attempt_id)
    succeed(ledger, step.attempt_id, reported_micros=None)
    with ledger.read() as connection:
        row = connection.execute(select(tables.attempts)).one()
    assert (row.settled_micros, row.units_basis) == (2_000_000, "estimated")
    assert check_invariants(ledger) == []


@pytest.mark.parametrize("end", [S.REJECTED, S.RELEASED])
def test_an_attempt_that_was_never_made_releases_its_reservation(ledger: Ledger, end: AttemptState) -> None:
    step = request()
    claim(ledger, step)
    if end is S.REJECTED:
        send(ledger, step.attempt_id)
    assert isinstance(move(ledger, step.attempt_id, end), Moved)
    assert sum(micros for _, micros in entries(ledger, step.attempt_id)) == 0
    assert check_invariants(ledger) == []


@pytest.mark.parametrize(("charged", "held"), [("yes", 2_000_000), ("no", 0), ("unknown", 2_000_000)])
def test_a_failed_task_is_booked_as_the_account_says(ledger: Ledger, charged: str, held: int) -> None:
    step = request(failed_tasks_charged=charged)
    claim(ledger, step)
    send(ledger, step.attempt_id)
    submit(ledger, step.attempt_id)
    move(ledger, step.attempt_id, S.FAILED, error_message="risk control")
    assert sum(micros for _, micros in entries(ledger, step.attempt_id)) == held
    assert check_invariants(ledger) == []


def test_an_attempt_in_doubt_keeps_its_reservation_until_it_is_written_off(ledger: Ledger) -> None:
    step = request()
    claim(ledger, step)
    send(ledger, step.attempt_id)
    move(ledger, step.attempt_id, S.IN_DOUBT, error_reason="reset")
    assert entries(ledger, step.attempt_id) == [("reserve", 2_000_000)]
    with ledger.write(now_ms=NOON, actor="ann") as tx:
        controls.write_off(tx, step.attempt_id, data={"error_message": "gone"})
    assert entries(ledger, step.attempt_id)[1:] == [("release", -2_000_000), ("settle", 2_000_000)]
    assert check_invariants(ledger) == []


def test_only_the_moves_of_the_table_are_possible(ledger: Ledger, tmp_path: Path) -> None:
    refused = 0
    for number, (start, end) in enumerate(product(S, S)):
        if end in MOVES[start] or end is S.CLAIMED:
            continue
        step = request(f"v{number}")
        claim(ledger, step, caps={"kling-main": BudgetLimits(10**12, 10**12, 10**6, 10**12)})
        with ledger.write(now_ms=NOON, actor="test") as tx:
            table = tables.attempts
            tx.connection.execute(table.update().where(table.c.attempt_id == step.attempt_id).values(state=start.value))
        outcome = move(ledger, step.attempt_id, end)
        assert outcome == Stale(step.attempt_id, start)
        refused += 1
    assert refused > 100


def test_a_claim_whose_lease_ran_out_is_not_sent(ledger: Ledger) -> None:
    step = request()
    claim(ledger, step)
    assert isinstance(send(ledger, step.attempt_id, now_ms=NOON + 180_000), Stale)
    assert isinstance(send(ledger, step.attempt_id, owner="another-worker"), Stale)
    assert state(ledger, step.attempt_id) == "claimed"


def test_one_extension_has_one_live_attempt_at_most(ledger: Ledger) -> None:
    first = request()
    claim(ledger, first)
    again = claim(ledger, request(try_no=2, last_attempt_id=first.attempt_id))
    assert [refused.reason for refused in again.refused] == [BlockReason.CHANGED]


def test_the_database_itself_refuses_a_second_live_attempt(ledger: Ledger) -> None:
    claim(ledger, request())
    second = request(try_no=2)
    with pytest.raises(IntegrityError), ledger.write(now_ms=NOON, actor="mistake") as tx:
        tx.append(
            "attempt_claimed",
            attempt_id=second.attempt_id,
            video_key=second.video_key,
            account=second.account,
            data={**second.row(), "budget_day": "2026-11-21", "owner": "me", "lease_until": NOON},
        )
    assert check_invariants(ledger) == []


def test_one_task_never_pays_two_attempts(ledger: Ledger) -> None:
    first, second = request("a"), request("b")
    claim(ledger, first, second)
    send(ledger, first.attempt_id)
    send(ledger, second.attempt_id)
    assert isinstance(submit(ledger, first.attempt_id, "task-1"), Moved)
    assert isinstance(submit(ledger, second.attempt_id, "task-1"), Stale)
    with ledger.read() as connection:
        kinds = list(connection.execute(select(tables.events.c.kind)).scalars())
    assert "late_answer" in kinds
    assert check_invariants(ledger) == []


def test_one_task_never_pays_two_attempts_of_one_wave(ledger: Ledger) -> None:
    steps = [request(key) for key in "abcd"]
    claim(ledger, *steps)
    for step in steps:
        send(ledger, step.attempt_id)
    submit(ledger, steps[0].attempt_id, "task-1")
    wave = list(zip(steps[1:], ("task-2", "task-1", "task-2"), strict=True))
    with ledger.write(now_ms=NOON, actor="me") as tx:
        tx.expect([step.attempt_id for step, _ in wave], [(step.account, task_id) for step, task_id in wave])
        moved = [
            transitions.submitted(tx, step.attempt_id, task_id=task_id, found_by="post", due_at=NOON)
            for step, task_id in wave
        ]
    assert [type(each) for each in moved] == [Moved, Stale, Stale]
    assert check_invariants(ledger) == []


def test_a_second_acceptance_with_the_same_task_changes_nothing(ledger: Ledger) -> None:
    step = request()
    claim(ledger, step)
    send(ledger, step.attempt_id)
    submit(ledger, step.attempt_id)
    with ledger.read() as connection:
        before = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
    assert isinstance(submit(ledger, step.attempt_id), Stale)
    with ledger.read() as connection:
        assert connection.execute(select(tables.ledger_head.c.seq)).scalar_one() == before


def test_absences_closer_together_than_the_gap_count_once(ledger: Ledger) -> None:
    step = request()
    claim(ledger, step)
    send(ledger, step.attempt_id)
    move(ledger, step.attempt_id, S.IN_DOUBT)
    counts = []
    for offset in (0, 50, 99, 100, 150, 250):
        with ledger.write(now_ms=NOON + offset, actor="me") as tx:
            counts.append(transitions.absent(tx, step.attempt_id, min_gap_ms=100))
    assert counts == [1, 1, 1, 2, 2, 3]


def test_a_higher_generation_without_a_persons_approval_breaks_an_invariant(ledger: Ledger) -> None:
    first = request()
    claim(ledger, first)
    send(ledger, first.attempt_id)
    submit(ledger, first.attempt_id)
    move(ledger, first.attempt_id, S.FAILED)
    second = request(generation=2, last_attempt_id=first.attempt_id)
    assert claim(ledger, second).claimed
    (finding,) = check_invariants(ledger)
    check_user_text(finding)
    with ledger.write(now_ms=NOON, actor="ann") as tx:
        assert isinstance(controls.allow_resubmit(tx, first.attempt_id, why="fluke"), Moved)
    assert check_invariants(ledger) == []


@pytest.mark.parametrize("live", sorted(LIVE))
def test_a_live_attempt_can_never_be_paid_for_again(ledger: Ledger, live: AttemptState) -> None:
    step = request()
    claim(ledger, step)
    with ledger.write(now_ms=NOON, actor="test") as tx:
        tx.connection.execute(tables.attempts.update().values(state=live.value))
    with ledger.write(now_ms=NOON, actor="ann") as tx:
        assert controls.allow_resubmit(tx, step.attempt_id, why="impatient") == Stale(step.attempt_id, live)


def test_the_events_fold_to_the_same_tables_in_either_database(ledger: Ledger, tmp_path: Path) -> None:
    run_through(ledger, "a")
    doubtful = request("b")
    claim(ledger, doubtful)
    send(ledger, doubtful.attempt_id)
    move(ledger, doubtful.attempt_id, S.IN_DOUBT, error_reason="reset")
    with ledger.write(now_ms=NOON, actor="ann") as tx:
        controls.write_off(tx, doubtful.attempt_id, data={"error_message": "gone"})
        controls.allow_resubmit(tx, doubtful.attempt_id, why="again")
        controls.stop_account(tx, "kling-main", reason="balance", message="empty")
    copy = open_ledger(f"sqlite:///{tmp_path}/copy.sqlite")
    try:
        count = replay.replay(ledger, copy)
        assert count > 10
        assert replay.differences(ledger, copy) == []
        for finding in check_invariants(copy):  # hints are not part of the events
            check_user_text(finding)
        with copy.write(now_ms=NOON, actor="test") as tx:
            tx.connection.execute(tables.accounts.update().values(committed_micros=1))
        assert len(replay.differences(ledger, copy)) == 1
    finally:
        copy.close()


def test_a_transaction_that_fails_leaves_no_trace(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="half way"), ledger.write(now_ms=NOON, actor="me") as tx:  # noqa: PT012
        tx.append("account_paused", account="kling-main", data={"why": "test"})
        raise RuntimeError("half way")
    with ledger.read() as connection:
        assert connection.execute(select(tables.events)).first() is None
        assert connection.execute(select(tables.accounts)).first() is None
    assert check_invariants(ledger) == []


def test_every_broken_invariant_is_found(ledger: Ledger) -> None:
    attempt_id = run_through(ledger)
    step = request("other")
    claim(ledger, step)
    breaks = (
        tables.accounts.update().values(committed_micros=7),
        tables.accounts.update().values(in_flight=9),
        tables.attempts.update().where(tables.attempts.c.attempt_id == attempt_id).values(sha256=None),
        tables.charges.update().where(tables.charges.c.entry == "settle").values(micros=1),
        tables.ledger_head.update().values(seq=1),
        tables.attempts.update().where(tables.attempts.c.attempt_id == step.attempt_id).values(sending_at=1),
    )
    assert check_invariants(ledger) == []
    for statement in breaks:
        with pytest.raises(InterruptedError), ledger.write(now_ms=NOON, actor="vandal") as tx:  # noqa: PT012
            tx.connection.execute(statement)
            findings = invariants.findings(tx.connection)
            assert findings
            check_user_text("\n".join(findings))
            raise InterruptedError  # roll it back
    assert check_invariants(ledger) == []


def test_settling_again_after_the_store_is_refused(ledger: Ledger) -> None:
    attempt_id = run_through(ledger)
    assert isinstance(succeed(ledger, attempt_id), Stale)
    assert isinstance(store(ledger, attempt_id), Stale)
    assert len(entries(ledger, attempt_id)) == 3
