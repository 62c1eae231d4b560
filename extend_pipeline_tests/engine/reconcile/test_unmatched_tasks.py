"""Tasks that only a provider's statement has: none that may be an attempt's is adopted, and none is booked twice."""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

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
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import claims, transitions
from extend_pipeline.ledger.write import reconciliation as write_reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict
from extend_pipeline_tests.engine.reconcile.comparing import adopted_attempts
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


def compare(pipeline: Pipeline, source: str = "list", **options: Any) -> dict[str, ReconciliationItem]:
    """Compare the statements of account k; return the items of one, by task."""
    results = {item.source: item for item in reconcile_account(pipeline, "k", pause=lambda _: None, **options)}
    result = results[source]
    assert isinstance(result, Reconciled), result
    return {item.task_id: item for item in result.compared}


def by_invoice(
    pipeline: Pipeline, name: str, folder: Path, *rows: tuple[str, str, str]
) -> dict[str, ReconciliationItem]:
    """Compare an invoice with these rows of task, units and time; return the items by task."""
    path = folder / "bill.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("task_id", "units", "date"), *rows])
    result = reconcile_invoice(pipeline, name, path)
    assert isinstance(result, Reconciled), result
    return {item.task_id: item for item in result.compared}


def committed(pipeline: Pipeline) -> Decimal:
    """Return the committed units of the only account."""
    return status(pipeline).accounts[0].committed


def lose_the_response(pipeline: Pipeline) -> None:
    """Run a round whose POST is accepted and whose response never reaches the ledger: the attempt stays `sending`."""
    failpoints.arm("submit.after_post=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            advance(pipeline, publish=False)
    finally:
        failpoints.disarm()


def test_a_task_whose_response_is_still_on_its_way_is_not_adopted(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        lose_the_response(pipeline)
        (item,) = compare(pipeline).values()
        assert item.verdict is ReconciliationVerdict.OPEN
        check_user_text(item.note)
        assert adopted_attempts(pipeline) == []
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(billed, pipeline.ledger).charges == 1
        assert committed(pipeline) == 2


def test_a_task_without_a_key_may_be_the_attempt_that_is_being_sent(home: EngineHome, tmp_path: Path) -> None:
    home.write([planted(home, "kling-gateway", 0)], other_account("kling-gateway", home.sandbox.base_url))
    with home.open(JumpClock()) as pipeline:
        lose_the_response(pipeline)
        (task,) = home.sandbox.tasks()
        item = by_invoice(pipeline, "kling-gateway", tmp_path, (task["task_id"], "1", "2100-01-01"))[task["task_id"]]
        assert item.verdict is ReconciliationVerdict.OPEN
        check_user_text(item.note)
        assert adopted_attempts(pipeline) == []


@pytest.mark.parametrize("again", [False, True])
def test_a_written_off_task_that_turns_up_is_booked_once_and_fetched(again: bool, billed: EngineHome) -> None:
    billed.seeded(1)
    billed.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        advance(pipeline, publish=False)
        assert isinstance(write_off(pipeline, "v000/1", who="ann", why="in a hurry"), Resolved)
        if again:
            assert isinstance(resubmit(pipeline, "v000/1", who="ann", why="in a hurry"), Resolved)
            drive(pipeline)
        expected = Decimal(4 if again else 2)  # a second task was really paid for
        assert committed(pipeline) == expected
        item = next(item for item in compare(pipeline).values() if item.verdict is ReconciliationVerdict.UPSTREAM_ONLY)
        check_user_text(item.note)
        assert committed(pipeline) == expected
        drive(pipeline)
        clock.skip(DAY_MS + 7_200_000)
        compare(pipeline)
        assert committed(pipeline) == expected == Decimal(billed.sandbox.charges()["total_units"])
        assert [row.state for row in adopted_attempts(pipeline)] == ["stored"]
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
        assert [row.task_id for row in adopted_attempts(pipeline)] == [task["task_id"]]
        assert check_invariants(pipeline.ledger) == []


@pytest.mark.parametrize("provider", ["luma", "vidu"])
def test_a_task_without_a_parent_is_no_extension_of_ours(provider: str, home: EngineHome, tmp_path: Path) -> None:
    home.write([planted(home, provider, 0)], other_account(provider, home.sandbox.base_url))
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        before = committed(pipeline)
        task_id = home.sandbox.foreign_task(provider=provider)["task_id"]  # a source or another product
        assert (
            by_invoice(pipeline, provider, tmp_path, (task_id, "1", ""))[task_id].verdict is ReconciliationVerdict.OTHER
        )
        assert adopted_attempts(pipeline) == []
        assert committed(pipeline) == before
        assert status(pipeline).exit_code == 0


def test_the_source_of_a_video_is_no_lost_extension(home: EngineHome, tmp_path: Path) -> None:
    task_id = home.sandbox.foreign_task(provider="luma")["task_id"]
    entries = [other_entry("luma", "one", {"task_id": task_id})]
    home.write(entries, other_account("luma", home.sandbox.base_url))
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        item = by_invoice(pipeline, "luma", tmp_path, (task_id, "1", ""))[task_id]
        assert item.verdict is ReconciliationVerdict.OTHER
        check_user_text(item.note)


def test_a_task_of_another_account_with_the_same_keys_is_left_to_it(billed: EngineHome) -> None:
    entries = [entry("one", source_id(0)), entry("two", source_id(1), account="twin")]
    billed.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(2)])
    billed.write(entries, account(billed.sandbox.base_url), account(billed.sandbox.base_url, name="twin"))
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        matched, unrelated = sorted((item.verdict, item.note) for item in compare(pipeline).values())
        assert matched == (ReconciliationVerdict.MATCHED, "")
        assert unrelated[0] is ReconciliationVerdict.OTHER
        check_user_text(unrelated[1])
        assert adopted_attempts(pipeline) == []


def test_an_adopted_task_counts_for_the_day_it_was_made_and_stops_nothing(billed: EngineHome) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        made_on = day_of(clock(), "UTC")
        billed.sandbox.foreign_task()
        clock.skip(2 * DAY_MS)
        # the list has no amount yet: the dearest mode is reserved, and the cheaper one is charged
        billed.sandbox.faults([{"kind": "no_unit_deduction", "where": "list", "times": 1}])
        next(iter(reconcile_account(pipeline, "k", pause=lambda _: None)))
        (adopted,) = adopted_attempts(pipeline)
        assert (adopted.predicted_micros, adopted.budget_day) == (to_micros(Decimal("3.5")), made_on)
        assert status(pipeline).accounts[0].committed_today == 0
        drive(pipeline)
        assert status(pipeline).accounts[0].stopped is None
        assert committed(pipeline) == 4
        clock.skip(29 * DAY_MS)  # it was made before the 30 days of the list, and adopted within them
        compare(pipeline)
        assert status(pipeline).disagreements == ()


def test_an_acknowledged_task_is_not_adopted_from_another_statement(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        of_colleague = billed.sandbox.foreign_task()["task_id"]
        compare(pipeline, adopt=False)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            assert write_reconciliation.accept(tx, account="k", source="list", task_id=of_colleague, why="bob's")
        check_user_text(compare(pipeline, "billing")[of_colleague].note)
        assert adopted_attempts(pipeline) == []


def test_an_acknowledged_task_stays_so_when_it_ends_and_costs_something(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        of_colleague = billed.sandbox.foreign_task()["task_id"]
        billed.sandbox.faults([{"kind": "no_unit_deduction", "where": "list", "times": 1}])
        listed = next(iter(reconcile_account(pipeline, "k", adopt=False, pause=lambda _: None)))
        assert isinstance(listed, Reconciled)
        assert [item.upstream_micros for item in listed.disagreements] == [None]
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            assert write_reconciliation.accept(tx, account="k", source="list", task_id=of_colleague, why="bob's")
        for _ in range(2):
            assert compare(pipeline)[of_colleague].upstream_micros == to_micros(2)
        assert adopted_attempts(pipeline) == []
        assert status(pipeline).disagreements == ()


def test_tasks_from_after_a_backup_are_left_to_the_steps_that_have_their_keys(
    billed: EngineHome, tmp_path: Path
) -> None:
    """As docs/security.md says: restore, pause, reconcile, resume. An adopted task could not be found by its step."""
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
        notes = [
            item.note for item in compare(pipeline).values() if item.verdict is ReconciliationVerdict.UPSTREAM_ONLY
        ]
        check_user_text("\n".join(sorted(notes)))
        assert adopted_attempts(pipeline) == []
        accept(pipeline.settings, pipeline.ledger, who="me", why="a backup", now_ms=pipeline.now_ms())
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(billed, pipeline.ledger).charges == 3
        compare(pipeline)
        assert status(pipeline).disagreements == ()
        assert committed(pipeline) == 6


def test_adopting_can_be_off_for_all_accounts_at_once(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        billed.sandbox.foreign_task()
        for result in reconcile_everything(pipeline, adopt=False, pause=lambda _: None):
            assert isinstance(result, Reconciled)
            assert result.adopted == ()
        assert adopted_attempts(pipeline) == []


def test_queries_and_adoptions_of_one_comparison_are_limited(
    billed: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    billed.seeded(1)
    monkeypatch.setattr(unmatched_tasks, "MAX_ADOPTED", 2)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        for _ in range(5):
            billed.sandbox.foreign_task()
        result = next(iter(reconcile_account(pipeline, "k", pause=lambda _: None)))
        assert isinstance(result, Reconciled)
        assert len(result.adopted) == 2
        notes = [item.note for item in result.disagreements]
        check_user_text("\n".join(sorted(notes)))
        monkeypatch.setattr(reconciliation, "MAX_QUERIES", 1)
        for item in compare(pipeline, "billing").values():
            if item.verdict is ReconciliationVerdict.UPSTREAM_ONLY:
                check_user_text(item.note)
        assert len(adopted_attempts(pipeline)) == 5


def test_an_adopted_task_that_never_ends_holds_nothing_up_and_names_how_to_give_it_up(
    billed: EngineHome, capsys: pytest.CaptureFixture[str]
) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        stuck = billed.sandbox.foreign_task()["task_id"]
        compare(pipeline)
        billed.sandbox.faults([{"kind": "5xx_before", "where": "query", "times": 9999}])
        now = advance(pipeline, publish=False)
        assert next_wait_ms(pipeline, now) is not None
        clock.skip(3_700_000)
        now = advance(pipeline, publish=False)
        assert next_wait_ms(pipeline, now) is None
        where = f"orphan:k:{stuck}/1"
        print_expiring(status(pipeline), pipeline.now_ms())
        output = capsys.readouterr().out
        assert where in output
        check_user_text(output)
        assert isinstance(write_off(pipeline, where, who="ann", why="stuck"), Resolved)
        assert status(pipeline).orphans == ()
        assert check_invariants(pipeline.ledger) == []


def test_a_spooled_response_of_another_ledger_is_reported_and_kept(
    home: EngineHome, make_home: Callable[..., EngineHome], caplog: pytest.LogCaptureFixture
) -> None:
    home.seeded(1)
    with home.open(JumpClock()) as pipeline:
        failpoints.arm("submit.before_outcome=raise")
        with pytest.raises(UnrecordedError):
            advance(pipeline, publish=False)
        failpoints.disarm()
    answers = home.settings.state_dir / "answers"
    (spooled,) = answers.iterdir()
    (answers / "torn.json").write_text('{"attempt_id": ')
    for path in (home.settings.state_dir).glob("ledger.sqlite*"):
        path.unlink()
    with home.open(JumpClock()) as pipeline:
        accept(pipeline.settings, pipeline.ledger, who="me", why="it is lost", now_ms=pipeline.now_ms())
        drive(pipeline)
        assert sorted(path.suffix for path in answers.iterdir()) == [".aside", ".aside"]
        assert spooled.with_suffix(".aside").exists()
        critical = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
        assert len(critical) == 2
        check_user_text("\n".join(sorted(critical)))
        assert reckon(home, pipeline.ledger).charges == 1


def test_no_such_task_proves_nothing_while_a_known_one_is_not_found_either(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        lost = billed.sandbox.foreign_task()["task_id"]
        lines = {lost: StatementLine(lost, to_micros(2))}
        bill = Statement(name="billing", lines=lines, from_ms=0, to_ms=0, complete=True)
        billed.sandbox.faults([{"kind": "not_found", "where": "query", "times": 2}])
        (item,) = [item for item in reconcile(pipeline, "k", bill).compared if item.task_id == lost]
        assert item.verdict is ReconciliationVerdict.UPSTREAM_ONLY
        check_user_text(item.note)
        assert reconcile(pipeline, "k", bill).adopted == (lost,)


@pytest.mark.parametrize("changed", [False, True])
def test_a_task_with_the_key_of_a_released_attempt_is_left_to_its_next_try(changed: bool, billed: EngineHome) -> None:
    (written,) = billed.seeded(1, steps=1, prompt="the fog lifts")
    with billed.open(JumpClock()) as pipeline:
        declare_catalogue(pipeline)
        (step,) = plan(plan_input(pipeline)).due
        request = claim_request(pipeline, step)
        now_ms = pipeline.now_ms()
        with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
            claims.claim(
                tx, [request], caps=pipeline.budget_limits(), owner=pipeline.owner, lease_until=now_ms + 60_000
            )
            transitions.move(tx, request.attempt_id, to=S.RELEASED, expect=frozenset({S.CLAIMED}))
        foreign = billed.sandbox.foreign_task(
            external_task_id=request.external_task_id, video_id=request.parent_video_id
        )
        if changed:
            billed.catalogue([{**written, "extend": {"steps": 1, "prompt": "night falls"}}])
            pipeline.refresh()
        item = compare(pipeline)[foreign["task_id"]]
        assert [row.task_id for row in adopted_attempts(pipeline)] == ([foreign["task_id"]] if changed else [])
        check_user_text(item.note)
