"""An account that colleagues use too: what is theirs is counted, never booked, fetched or asked about each day."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, func, select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Declined, Resolved, write_off
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.adopt_task import adopt_task
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_account
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read.attempt_row import ADOPTED
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict
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
    """A home with one finished video to be, whose sandbox bills at once."""
    home = make_home(billing_delay=0, billing_interval=0, ledger_url=ledger_url)
    home.seeded(1)
    return home


def books(pipeline: Pipeline) -> dict[str, Reconciled]:
    """Every book of account k, compared."""
    found = {}
    for each in reconcile_account(pipeline, "k", pause=lambda _: None):
        assert isinstance(each, Reconciled), each
        found[each.source] = each
    return found


def orphans(pipeline: Pipeline) -> list[Row[Any]]:
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(table).where(table.c.chain_digest == ADOPTED)))


def rows_kept(pipeline: Pipeline) -> int:
    with pipeline.ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.reconciliations)).scalar_one())


def test_what_colleagues_made_is_counted_and_nothing_more(shared: EngineHome) -> None:
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        drive(pipeline)
        for _ in range(3):
            shared.sandbox.foreign_task()
        for _ in range(2):
            assert [(book.others, book.disagreements) for book in books(pipeline).values()] == [(3, ()), (3, ())]
            clock.skip(DAY_MS + 7_200_000)
        now = status(pipeline)
        assert orphans(pipeline) == []
        assert now.accounts[0].committed == 2
        assert [(each.source, each.others) for each in now.statements] == [("billing", 3), ("list", 3)]
        assert now.exit_code == 0
        assert rows_kept(pipeline) == 2  # our own task, in two books
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, shared.path)


def test_what_extends_a_film_of_ours_is_one_question_that_a_person_answers(shared: EngineHome) -> None:
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        drive(pipeline)
        (own,) = shared.sandbox.tasks()
        with pipeline.ledger.read() as connection:
            result = connection.execute(select(tables.attempts.c.video_id)).scalar_one()
        ours, theirs = (shared.sandbox.foreign_task(video_id=parent)["task_id"] for parent in (result, source_id(0)))
        found = books(pipeline)
        assert {each.task_id for each in found["list"].disagreements} == {ours, theirs}
        assert found["billing"].disagreements == ()
        assert all(f"--adopt {each.task_id}" in each.note for each in found["list"].disagreements)
        assert status(pipeline).exit_code == 1
        assert isinstance(adopt_task(pipeline, "k", ours, who="ann", why="by hand"), Resolved)
        assert isinstance(adopt_task(pipeline, "k", ours, who="ann", why=""), Declined)
        assert isinstance(adopt_task(pipeline, "k", own["task_id"], who="ann", why=""), Declined)
        assert isinstance(adopt_task(pipeline, "k", "no-such-task", who="ann", why=""), Declined)
        with pipeline.ledger.write(now_ms=clock(), actor="ann") as tx:
            assert reconciliation.accept(tx, account="k", source="list", task_id=theirs, why="bob's")
        drive(pipeline)
        assert [row.state for row in orphans(pipeline)] == ["stored"]
        clock.skip(DAY_MS + 7_200_000)
        books(pipeline)
        now = status(pipeline)
        assert now.disagreements == ()
        assert now.exit_code == 0
        assert now.accounts[0].committed == Decimal(4)  # ours twice; what is theirs is not ours to book
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, shared.path)


@pytest.mark.parametrize("policy", ["own", "ask", False])
def test_what_carries_a_key_of_ours_is_taken_over_by_itself_or_asked_about(
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
        bobs = home.sandbox.foreign_task()["task_id"]
        asked = {each.task_id for each in books(pipeline)["list"].disagreements if each.attempt_id is None}
        assert asked == {"own": set(), "ask": {lost["task_id"], bobs}, False: {lost["task_id"]}}[policy]
        if policy != "own":
            assert isinstance(adopt_task(pipeline, "k", lost["task_id"], who="ann", why=""), Resolved)
        assert [row.task_id for row in orphans(pipeline)] == [lost["task_id"]]
        assert status(pipeline).accounts[0].committed == 2  # the charge went with it


def test_a_colleagues_task_in_the_bill_is_no_excuse_to_keep_a_charge_that_nobody_billed(shared: EngineHome) -> None:
    """An attempt that was given up and never made: only tasks that may be it keep its charge."""
    shared.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        advance(pipeline, publish=False)
        assert isinstance(write_off(pipeline, "v000/1", who="ann", why=""), Resolved)
        shared.sandbox.foreign_task()
        clock.skip(DAY_MS + 7_200_000)
        found = books(pipeline)
        assert found["billing"].disagreements == ()
        assert status(pipeline).accounts[0].committed == 0


def test_what_was_told_each_day_before_goes_quiet_and_what_was_adopted_before_stays(
    make_home: Callable[..., EngineHome],
) -> None:
    home = make_home(billing_delay=0, billing_interval=0)
    home.account = {"adopt_orphans": "all"}  # the default of the version before
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        home.sandbox.foreign_task()
        books(pipeline)
        bobs = home.sandbox.foreign_task()["task_id"]
        for each in reconcile_account(pipeline, "k", adopt=False, pause=lambda _: None):
            assert isinstance(each, Reconciled)
        assert {row.task_id for row in status(pipeline).disagreements} >= {bobs}
        home.accounts(account(home.sandbox.base_url))
        pipeline.refresh()
        drive(pipeline)
        (orphan,) = orphans(pipeline)
        assert orphan.state == "stored"
        further = home.sandbox.foreign_task(video_id=orphan.video_id)["task_id"]  # a colleague goes on with their film
        assert further
        assert [book.disagreements for book in books(pipeline).values()] == [(), ()]
        assert status(pipeline).disagreements == ()


def test_a_book_that_is_never_answered_turns_red_after_three_days(shared: EngineHome, tmp_path: Path) -> None:
    clock = JumpClock()
    with shared.open(clock) as pipeline:
        drive(pipeline)
        books(pipeline)
        shared.sandbox.faults([{"kind": "code_1103", "where": "list", "times": 999}])
        for day in range(4):
            list(reconcile_account(pipeline, "k", pause=lambda _: None))
            statement = next(each for each in status(pipeline).statements if each.source == "list")
            assert statement.unavailable_text
            assert statement.is_long_unavailable(clock()) is (day >= 3)
            assert status(pipeline).exit_code == (1 if day >= 3 else 0)
            clock.skip(DAY_MS)
        with pipeline.ledger.read() as connection:
            kinds = select(func.count()).where(tables.events.c.kind == "statement_unread")
            assert connection.execute(kinds).scalar_one() == 1
        replays_to_the_same(pipeline.ledger, shared.path)
        shared.sandbox.clear_faults()
        books(pipeline)
        assert status(pipeline).exit_code == 0
        assert ReconciliationVerdict.OTHER not in {each.verdict for each in books(pipeline)["list"].compared}


def test_two_entries_of_one_home_are_not_each_others_strangers(shared: EngineHome) -> None:
    shared.sandbox.seed([{"video_id": source_id(1), "duration": 5.0}])
    shared.catalogue([entry("v000", source_id(0)), entry("v001", source_id(1))])
    with shared.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert [book.others for book in books(pipeline).values()] == [0, 0]
