"""Tasks that only a provider's book shows: none that may be ours is taken over, and none is ever booked twice."""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, select

from extend_pipeline.base import failpoints
from extend_pipeline.base.days import day_of
from extend_pipeline.base.units import to_micros
from extend_pipeline.commands.render.tables import print_expiring
from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.decisions.resolve import Resolved, resubmit, write_off
from extend_pipeline.engine.drive import next_wait_ms
from extend_pipeline.engine.guards.ledger_look import accept
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.reconcile import run as reconciliation
from extend_pipeline.engine.reconcile import unmatched_tasks
from extend_pipeline.engine.reconcile.compare import Statement, StatementLine
from extend_pipeline.engine.reconcile.run import Reconciled, reconcile
from extend_pipeline.engine.reconcile.run_all import reconcile_account, reconcile_everything, reconcile_invoice
from extend_pipeline.engine.status import status
from extend_pipeline.engine.submit.prepare import claim_request
from extend_pipeline.engine.submit.spool import UnrecordedError
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read.attempt_row import ADOPTED
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import claims, transitions
from extend_pipeline.ledger.write import reconciliation as write_reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict
from extend_pipeline_tests.support.home.engine_home import (
    DAY_MS,
    EngineHome,
    JumpClock,
    account,
    drive,
    entry,
    source_id,
)
from extend_pipeline_tests.support.home.every_provider import other_account, other_entry, planted
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.fixture
def billed(make_home: Callable[..., EngineHome]) -> EngineHome:
    """A home whose sandbox bills at once, and whose account nobody else uses."""
    home = make_home(billing_delay=0, billing_interval=0)
    home.account = {"adopt_orphans": "all"}
    return home


def compared(pipeline: Pipeline, source: str = "list", **options: Any) -> dict[str, ReconciliationItem]:
    """What one book of account k says, by task."""
    books = {each.source: each for each in reconcile_account(pipeline, "k", pause=lambda _: None, **options)}
    found = books[source]
    assert isinstance(found, Reconciled), found
    return {each.task_id: each for each in found.compared}


def by_invoice(
    pipeline: Pipeline, name: str, folder: Path, *rows: tuple[str, str, str]
) -> dict[str, ReconciliationItem]:
    """The same of an invoice with these rows of task, units and time."""
    path = folder / "bill.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("task_id", "units", "date"), *rows])
    found = reconcile_invoice(pipeline, name, path)
    assert isinstance(found, Reconciled), found
    return {each.task_id: each for each in found.compared}


def orphans(pipeline: Pipeline) -> list[Row[Any]]:
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(table).where(table.c.chain_digest == ADOPTED)))


def committed(pipeline: Pipeline) -> Decimal:
    """Units of the only account."""
    return status(pipeline).accounts[0].committed


def lose_the_answer(pipeline: Pipeline) -> None:
    """One round whose POST is accepted and whose answer never gets to the ledger: the attempt stays `sending`."""
    failpoints.arm("submit.after_post=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            advance(pipeline, publish=False)
    finally:
        failpoints.disarm()


def test_a_task_whose_answer_is_still_on_its_way_is_not_taken_over(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        lose_the_answer(pipeline)
        (told,) = compared(pipeline).values()
        assert told.verdict is ReconciliationVerdict.OPEN
        check_user_text(told.note)
        assert orphans(pipeline) == []
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(billed, pipeline.ledger).charges == 1
        assert committed(pipeline) == 2


def test_one_without_a_key_may_be_what_is_being_sent(home: EngineHome, tmp_path: Path) -> None:
    home.write([planted(home, "kling-gateway", 0)], other_account("kling-gateway", home.sandbox.base_url))
    with home.open(JumpClock()) as pipeline:
        lose_the_answer(pipeline)
        (task,) = home.sandbox.tasks()
        told = by_invoice(pipeline, "kling-gateway", tmp_path, (task["task_id"], "1", "2100-01-01"))[task["task_id"]]
        assert told.verdict is ReconciliationVerdict.OPEN
        check_user_text(told.note)
        assert orphans(pipeline) == []


@pytest.mark.parametrize("again", [False, True])
def test_what_was_written_off_and_turns_up_is_booked_once_and_fetched(again: bool, billed: EngineHome) -> None:
    billed.seeded(1)
    billed.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        advance(pipeline, publish=False)
        assert isinstance(write_off(pipeline, "v000/1", who="ann", why="in a hurry"), Resolved)
        if again:
            assert isinstance(resubmit(pipeline, "v000/1", who="ann", why="in a hurry"), Resolved)
            drive(pipeline)
        expected = Decimal(4 if again else 2)  # a second one was really paid for
        assert committed(pipeline) == expected
        told = next(each for each in compared(pipeline).values() if each.verdict is ReconciliationVerdict.UPSTREAM_ONLY)
        check_user_text(told.note)
        assert committed(pipeline) == expected
        drive(pipeline)
        clock.skip(DAY_MS + 7_200_000)
        compared(pipeline)
        assert committed(pipeline) == expected == Decimal(billed.sandbox.charges()["total_units"])
        assert [row.state for row in orphans(pipeline)] == ["stored"]
        assert status(pipeline).disagreements == ()
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, billed.path)


def test_a_gateways_task_that_was_written_off_is_booked_once(home: EngineHome, tmp_path: Path) -> None:
    home.write(
        [planted(home, "kling-gateway", 0)], other_account("kling-gateway", home.sandbox.base_url, adopt_orphans="all")
    )
    home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert isinstance(write_off(pipeline, "kling-gateway-0/1", who="ann", why=""), Resolved)
        (task,) = home.sandbox.tasks()
        by_invoice(pipeline, "kling-gateway", tmp_path, (task["task_id"], "1", ""))
        assert committed(pipeline) == 1
        assert [row.task_id for row in orphans(pipeline)] == [task["task_id"]]
        assert check_invariants(pipeline.ledger) == []


@pytest.mark.parametrize("provider", ["luma", "vidu"])
def test_a_task_that_tells_no_parent_is_no_extension_of_ours(provider: str, home: EngineHome, tmp_path: Path) -> None:
    home.write([planted(home, provider, 0)], other_account(provider, home.sandbox.base_url))
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        before = committed(pipeline)
        made = home.sandbox.foreign_task(provider=provider)["task_id"]  # a source, another product: who knows
        assert by_invoice(pipeline, provider, tmp_path, (made, "1", ""))[made].verdict is ReconciliationVerdict.OTHER
        assert orphans(pipeline) == []
        assert committed(pipeline) == before
        assert status(pipeline).exit_code == 0


def test_the_source_of_a_video_is_not_taken_for_a_lost_extension(home: EngineHome, tmp_path: Path) -> None:
    made = home.sandbox.foreign_task(provider="luma")["task_id"]
    entries = [other_entry("luma", "one", {"task_id": made})]
    home.write(entries, other_account("luma", home.sandbox.base_url))
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        told = by_invoice(pipeline, "luma", tmp_path, (made, "1", ""))[made]
        assert told.verdict is ReconciliationVerdict.OTHER
        check_user_text(told.note)


def test_a_task_of_another_account_with_the_same_keys_is_left_to_it(billed: EngineHome) -> None:
    entries = [entry("one", source_id(0)), entry("two", source_id(1), account="twin")]
    billed.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(2)])
    billed.write(entries, account(billed.sandbox.base_url), account(billed.sandbox.base_url, name="twin"))
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        matched, other = sorted((each.verdict, each.note) for each in compared(pipeline).values())
        assert matched == (ReconciliationVerdict.MATCHED, "")
        assert other[0] is ReconciliationVerdict.OTHER
        check_user_text(other[1])
        assert orphans(pipeline) == []


def test_an_orphan_counts_for_the_day_it_was_made_and_stops_nothing(billed: EngineHome) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        made_on = day_of(clock(), "UTC")
        billed.sandbox.foreign_task()
        clock.skip(2 * DAY_MS)
        # the list tells no amount yet: the dearest mode is reserved, and the cheaper one is what it cost
        billed.sandbox.faults([{"kind": "no_unit_deduction", "where": "list", "times": 1}])
        next(iter(reconcile_account(pipeline, "k", pause=lambda _: None)))
        (orphan,) = orphans(pipeline)
        assert (orphan.predicted_micros, orphan.budget_day) == (to_micros(Decimal("3.5")), made_on)
        assert status(pipeline).accounts[0].committed_today == 0
        drive(pipeline)
        assert status(pipeline).accounts[0].stopped is None
        assert committed(pipeline) == 4
        clock.skip(29 * DAY_MS)  # it was made before the 30 days of the list, and taken over within them
        compared(pipeline)
        assert status(pipeline).disagreements == ()


def test_what_a_person_has_let_be_is_not_taken_over_by_another_book(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        bobs = billed.sandbox.foreign_task()["task_id"]
        compared(pipeline, adopt=False)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            assert write_reconciliation.accept(tx, account="k", source="list", task_id=bobs, why="bob's")
        check_user_text(compared(pipeline, "billing")[bobs].note)
        assert orphans(pipeline) == []


def test_a_task_that_a_person_has_let_be_stays_so_when_it_ends_and_costs_something(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        bobs = billed.sandbox.foreign_task()["task_id"]
        billed.sandbox.faults([{"kind": "no_unit_deduction", "where": "list", "times": 1}])
        listed = next(iter(reconcile_account(pipeline, "k", adopt=False, pause=lambda _: None)))
        assert isinstance(listed, Reconciled)
        assert [each.upstream_micros for each in listed.disagreements] == [None]
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            assert write_reconciliation.accept(tx, account="k", source="list", task_id=bobs, why="bob's")
        for _ in range(2):
            assert compared(pipeline)[bobs].upstream_micros == to_micros(2)
        assert orphans(pipeline) == []
        assert status(pipeline).disagreements == ()


def test_what_was_paid_after_a_backup_is_left_to_the_steps_that_have_its_keys(
    billed: EngineHome, tmp_path: Path
) -> None:
    """As docs/security.md says: put back, pause, reconcile, go on. Taken over, no step could find its task again."""
    billed.seeded(1, steps=1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
    shutil.copytree(billed.settings.state_dir, tmp_path / "backup")
    billed.write([entry("v000", source_id(0), steps=3)])
    with billed.open(clock) as pipeline:
        drive(pipeline)
    shutil.rmtree(billed.settings.state_dir)
    shutil.copytree(tmp_path / "backup", billed.settings.state_dir)
    with billed.open(clock) as pipeline:
        told = [
            each.note for each in compared(pipeline).values() if each.verdict is ReconciliationVerdict.UPSTREAM_ONLY
        ]
        check_user_text("\n".join(sorted(told)))
        assert orphans(pipeline) == []
        accept(pipeline.settings, pipeline.ledger, who="me", why="a backup", now_ms=pipeline.now_ms())
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(billed, pipeline.ledger).charges == 3
        compared(pipeline)
        assert status(pipeline).disagreements == ()
        assert committed(pipeline) == 6


def test_adopting_can_be_off_for_all_accounts_at_once(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        billed.sandbox.foreign_task()
        for each in reconcile_everything(pipeline, adopt=False, pause=lambda _: None):
            assert isinstance(each, Reconciled)
            assert each.adopted == ()
        assert orphans(pipeline) == []


def test_neither_questions_nor_adoptions_are_without_end(billed: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    billed.seeded(1)
    monkeypatch.setattr(unmatched_tasks, "MAX_ADOPTED", 2)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        for _ in range(5):
            billed.sandbox.foreign_task()
        one = next(iter(reconcile_account(pipeline, "k", pause=lambda _: None)))
        assert isinstance(one, Reconciled)
        assert len(one.adopted) == 2
        notes = [each.note for each in one.disagreements]
        check_user_text("\n".join(sorted(notes)))
        monkeypatch.setattr(reconciliation, "MAX_QUERIES", 1)
        for item in compared(pipeline, "billing").values():
            if item.verdict is ReconciliationVerdict.UPSTREAM_ONLY:
                check_user_text(item.note)
        assert len(orphans(pipeline)) == 5


def test_an_orphan_that_never_ends_holds_up_nobody_and_says_how_to_give_it_up(
    billed: EngineHome, capsys: pytest.CaptureFixture[str]
) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        stuck = billed.sandbox.foreign_task()["task_id"]
        compared(pipeline)
        billed.sandbox.faults([{"kind": "5xx_before", "where": "query", "times": 9999}])
        now = advance(pipeline, publish=False)
        assert next_wait_ms(pipeline, now) is not None
        clock.skip(3_700_000)
        now = advance(pipeline, publish=False)
        assert next_wait_ms(pipeline, now) is None
        where = f"orphan:k:{stuck}/1"
        print_expiring(status(pipeline), pipeline.now_ms(), home=None)
        told = capsys.readouterr().out
        assert where in told
        check_user_text(told)
        assert isinstance(write_off(pipeline, where, who="ann", why="stuck"), Resolved)
        assert status(pipeline).orphans == ()
        assert check_invariants(pipeline.ledger) == []


def test_an_answer_of_a_ledger_that_was_put_back_is_told_and_kept(
    home: EngineHome, make_home: Callable[..., EngineHome], caplog: pytest.LogCaptureFixture
) -> None:
    home.seeded(1)
    with home.open(JumpClock()) as pipeline:
        failpoints.arm("submit.before_outcome=raise")
        with pytest.raises(UnrecordedError):
            advance(pipeline, publish=False)
        failpoints.disarm()
    answers = home.settings.state_dir / "answers"
    (kept,) = answers.iterdir()
    (answers / "torn.json").write_text('{"attempt_id": ')
    for path in (home.settings.state_dir).glob("ledger.sqlite*"):
        path.unlink()
    with home.open(JumpClock()) as pipeline:
        accept(pipeline.settings, pipeline.ledger, who="me", why="it is lost", now_ms=pipeline.now_ms())
        drive(pipeline)
        assert sorted(path.suffix for path in answers.iterdir()) == [".aside", ".aside"]
        assert kept.with_suffix(".aside").exists()
        critical = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
        assert len(critical) == 2
        check_user_text("\n".join(sorted(critical)))
        assert reckon(home, pipeline.ledger).charges == 1


def test_no_such_task_means_nothing_while_a_known_one_is_not_found_either(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        lost = billed.sandbox.foreign_task()["task_id"]
        shown = {lost: StatementLine(lost, to_micros(2))}
        bill = Statement(name="billing", lines=shown, from_ms=0, to_ms=0, complete=True)
        billed.sandbox.faults([{"kind": "not_found", "where": "query", "times": 2}])
        (told,) = [each for each in reconcile(pipeline, "k", bill).compared if each.task_id == lost]
        assert told.verdict is ReconciliationVerdict.UPSTREAM_ONLY
        check_user_text(told.note)
        assert reconcile(pipeline, "k", bill).adopted == (lost,)


@pytest.mark.parametrize("changed", [False, True])
def test_a_key_that_was_held_to_be_free_is_left_to_its_next_try_if_there_will_be_one(
    changed: bool, billed: EngineHome
) -> None:
    (made,) = billed.seeded(1, steps=1, prompt="the fog lifts")
    with billed.open(JumpClock()) as pipeline:
        declare_catalogue(pipeline)
        (step,) = plan(plan_input(pipeline)).due
        wanted = claim_request(pipeline, step)
        now_ms = pipeline.now_ms()
        with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
            claims.claim(tx, [wanted], caps=pipeline.budget_limits(), owner=pipeline.owner, lease_until=now_ms + 60_000)
            transitions.move(tx, wanted.attempt_id, to=S.RELEASED, expect=frozenset({S.CLAIMED}))
        stranger = billed.sandbox.foreign_task(
            external_task_id=wanted.external_task_id, video_id=wanted.parent_video_id
        )
        if changed:
            billed.catalogue([{**made, "extend": {"steps": 1, "prompt": "night falls"}}])
            pipeline.refresh()
        told = compared(pipeline)[stranger["task_id"]]
        assert [row.task_id for row in orphans(pipeline)] == ([stranger["task_id"]] if changed else [])
        check_user_text(told.note)
