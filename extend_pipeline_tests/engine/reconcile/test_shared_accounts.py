"""An account that colleagues use too: their tasks are counted, never booked, fetched or asked about each day."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Declined, Resolved, write_off
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.adopt_task import adopt_task
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_account
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict
from extend_pipeline_tests.engine.reconcile.comparing import adopted_attempts, compare_statements
from extend_pipeline_tests.support.home.engine_home import (
    DAY_MS,
    EngineHome,
    JumpClock,
    account,
    drive,
    entry,
    source_id,
)
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same


@pytest.fixture
def shared(make_home: Callable[..., EngineHome], ledger_url: str) -> EngineHome:
    """Return a home with one video that is not submitted yet, whose sandbox bills at once."""
    home = make_home(billing_delay=0, billing_interval=0, ledger_url=ledger_url)
    home.seeded(1)
    return home


def row_count(pipeline: Pipeline) -> int:
    with pipeline.ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.reconciliations)).scalar_one())


def test_colleagues_tasks_are_counted_and_nothing_more(shared: EngineHome) -> None:
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        drive(pipeline)
        for _ in range(3):
            shared.sandbox.foreign_task()
        for _ in range(2):
            assert [(result.others, result.disagreements) for result in compare_statements(pipeline).values()] == [
                (3, ()),
                (3, ()),
            ]
            clock.skip(DAY_MS + 7_200_000)
        now = status(pipeline)
        assert adopted_attempts(pipeline) == []
        assert now.accounts[0].committed == 2
        assert [(statement.source, statement.others) for statement in now.statements] == [("billing", 3), ("list", 3)]
        assert now.exit_code == 0
        assert row_count(pipeline) == 2  # our own task, in two statements
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, shared.path)


def test_a_task_that_extends_a_film_of_ours_is_one_question_for_the_operator(shared: EngineHome) -> None:
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        drive(pipeline)
        (submitted,) = shared.sandbox.tasks()
        with pipeline.ledger.read() as connection:
            result = connection.execute(select(tables.attempts.c.video_id)).scalar_one()
        by_hand, of_colleague = (
            shared.sandbox.foreign_task(video_id=parent)["task_id"] for parent in (result, source_id(0))
        )
        results = compare_statements(pipeline)
        assert {item.task_id for item in results["list"].disagreements} == {by_hand, of_colleague}
        assert results["billing"].disagreements == ()
        assert all(f"--adopt {item.task_id}" in item.note for item in results["list"].disagreements)
        assert status(pipeline).exit_code == 1
        assert isinstance(adopt_task(pipeline, "k", by_hand, who="ann", why="by hand"), Resolved)
        assert isinstance(adopt_task(pipeline, "k", by_hand, who="ann", why=""), Declined)
        assert isinstance(adopt_task(pipeline, "k", submitted["task_id"], who="ann", why=""), Declined)
        assert isinstance(adopt_task(pipeline, "k", "no-such-task", who="ann", why=""), Declined)
        with pipeline.ledger.write(now_ms=clock(), actor="ann") as tx:
            assert reconciliation.accept(tx, account="k", source="list", task_id=of_colleague, why="bob's")
        drive(pipeline)
        assert [row.state for row in adopted_attempts(pipeline)] == ["stored"]
        clock.skip(DAY_MS + 7_200_000)
        compare_statements(pipeline)
        now = status(pipeline)
        assert now.disagreements == ()
        assert now.exit_code == 0
        assert now.accounts[0].committed == Decimal(4)  # our two; the colleague's task is not ours to book
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, shared.path)


@pytest.mark.parametrize("policy", ["own", "ask", False])
def test_a_task_with_a_key_of_ours_is_adopted_or_a_question_by_policy(
    policy: object, make_home: Callable[..., EngineHome]
) -> None:
    home = make_home(billing_delay=0, billing_interval=0)
    home.account = {"adopt_orphans": policy}
    home.seeded(1)
    home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    with home.open(JumpClock()) as pipeline:
        advance(pipeline, publish=False)
        assert isinstance(write_off(pipeline, "v000/1", who="ann", why=""), Resolved)
        (lost,) = home.sandbox.tasks()
        of_colleague = home.sandbox.foreign_task()["task_id"]
        questions = {
            item.task_id for item in compare_statements(pipeline)["list"].disagreements if item.attempt_id is None
        }
        assert questions == {"own": set(), "ask": {lost["task_id"], of_colleague}, False: {lost["task_id"]}}[policy]
        if policy != "own":
            assert isinstance(adopt_task(pipeline, "k", lost["task_id"], who="ann", why=""), Resolved)
        assert [row.task_id for row in adopted_attempts(pipeline)] == [lost["task_id"]]
        assert status(pipeline).accounts[0].committed == 2  # the charge went with it


def test_a_colleagues_billed_task_keeps_no_charge_that_was_never_billed(shared: EngineHome) -> None:
    """An attempt that was given up and never made: only tasks that may be it keep its charge."""
    shared.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        advance(pipeline, publish=False)
        assert isinstance(write_off(pipeline, "v000/1", who="ann", why=""), Resolved)
        shared.sandbox.foreign_task()
        clock.skip(DAY_MS + 7_200_000)
        results = compare_statements(pipeline)
        assert results["billing"].disagreements == ()
        assert status(pipeline).accounts[0].committed == 0


def test_a_changed_policy_ends_the_daily_questions_and_keeps_adopted_tasks(
    make_home: Callable[..., EngineHome],
) -> None:
    home = make_home(billing_delay=0, billing_interval=0)
    home.account = {"adopt_orphans": "all"}  # the default of an earlier version
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        home.sandbox.foreign_task()
        compare_statements(pipeline)
        of_colleague = home.sandbox.foreign_task()["task_id"]
        for result in reconcile_account(pipeline, "k", adopt=False, pause=lambda _: None):
            assert isinstance(result, Reconciled)
        assert {row.task_id for row in status(pipeline).disagreements} >= {of_colleague}
        home.accounts(account(home.sandbox.base_url))
        pipeline.refresh()
        drive(pipeline)
        (adopted,) = adopted_attempts(pipeline)
        assert adopted.state == "stored"
        further = home.sandbox.foreign_task(video_id=adopted.video_id)["task_id"]  # a colleague goes on with their film
        assert further
        assert [result.disagreements for result in compare_statements(pipeline).values()] == [(), ()]
        assert status(pipeline).disagreements == ()


def test_a_statement_that_stays_unavailable_is_an_error_after_three_days(shared: EngineHome, tmp_path: Path) -> None:
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        drive(pipeline)
        compare_statements(pipeline)
        shared.sandbox.faults([{"kind": "code_1103", "where": "list", "times": 999}])
        for day in range(4):
            list(reconcile_account(pipeline, "k", pause=lambda _: None))
            statement = next(item for item in status(pipeline).statements if item.source == "list")
            assert statement.unavailable_text
            assert statement.is_long_unavailable(clock()) is (day >= 3)
            assert status(pipeline).exit_code == (1 if day >= 3 else 0)
            clock.skip(DAY_MS)
        with pipeline.ledger.read() as connection:
            kinds = select(func.count()).where(tables.events.c.kind == "statement_unread")
            assert connection.execute(kinds).scalar_one() == 1
        replays_to_the_same(pipeline.ledger, shared.path)
        shared.sandbox.clear_faults()
        compare_statements(pipeline)
        assert status(pipeline).exit_code == 0
        assert ReconciliationVerdict.OTHER not in {
            item.verdict for item in compare_statements(pipeline)["list"].compared
        }


def test_two_entries_of_one_home_are_not_each_others_unmatched_tasks(shared: EngineHome) -> None:
    shared.sandbox.seed([{"video_id": source_id(1), "duration": 5.0}])
    shared.catalogue([entry("v000", source_id(0)), entry("v001", source_id(1))])
    with shared.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert [result.others for result in compare_statements(pipeline).values()] == [0, 0]
