"""A reseller's invoice, compared with the ledger: amounts, unmatched tasks, gaps, and invoices that are refused."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

from extend_pipeline.base.days import day_of
from extend_pipeline.base.units import to_micros
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Resolved, adopt
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.invoice.read import InvoiceProblems
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_invoice
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict
from extend_pipeline_tests.engine.reconcile.comparing import adopted_attempts, verdicts
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text


def invoice(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    """Write a bill as an operator would save it; return its path."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("task_id", "units", "date"), *rows])
    return path


def lines(home: EngineHome, units: str = "1") -> list[tuple[str, str, str]]:
    """Return an invoice's rows of what the gateway charged, with room before and after."""
    tasks = [(task["task_id"], units, "2020-01-01") for task in home.sandbox.tasks()]
    return [*tasks, ("closing", "0", "2100-01-01")]


def test_an_invoice_that_agrees(resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path) -> None:
    home, pipeline, _ = resold
    result = reconcile_invoice(pipeline, "kling-gateway", invoice(tmp_path / "bill.csv", lines(home)[:-1]))
    assert isinstance(result, Reconciled)
    assert verdicts(result) == {"matched": 3}


def test_an_invoice_with_another_amount_an_unmatched_task_and_a_gap(
    resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    home, pipeline, clock = resold
    foreign = home.sandbox.foreign_task(provider="kling-gateway")
    clock.skip(3 * DAY_MS)
    today = day_of(clock(), "UTC")
    ours = [row for row in lines(home)[:-1] if row[0] != foreign["task_id"]]
    rows = [(ours[0][0], "2", ours[0][2]), ours[1], (foreign["task_id"], "1", today)]
    result = reconcile_invoice(pipeline, "kling-gateway", invoice(tmp_path / "bill.csv", rows))
    assert isinstance(result, Reconciled)
    by_task = {item.task_id: item for item in result.compared}
    assert by_task[ours[0][0]].verdict is ReconciliationVerdict.DIFFERENT_AMOUNT
    assert by_task[ours[1][0]].verdict is ReconciliationVerdict.MATCHED
    assert by_task[ours[2][0]].verdict is ReconciliationVerdict.LEDGER_ONLY
    assert by_task[foreign["task_id"]].verdict is ReconciliationVerdict.UPSTREAM_ONLY
    assert result.adopted == (foreign["task_id"],)
    drive(pipeline)
    assert [row.state for row in adopted_attempts(pipeline)] == ["stored"]
    assert status(pipeline).accounts[0].committed == Decimal(5)
    why = "the reseller forgot it"
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
        assert reconciliation.accept(tx, account="kling-gateway", source="invoice", task_id=ours[2][0], why=why)
    assert status(pipeline).accounts[0].committed == Decimal(4)
    assert check_invariants(pipeline.ledger) == []
    replays_to_the_same(pipeline.ledger, home.path)


def test_money_is_compared_at_the_price_that_was_agreed(
    resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    """Three extensions of a credit at 0.5 USD; the price has risen since."""
    home, pipeline, _ = resold
    price = {"unit": "credit", "per_extension": 1, "unit_price": 1, "currency": "USD"}
    home.accounts(other_account("kling-gateway", home.sandbox.base_url, price=price))
    pipeline.refresh()
    path = tmp_path / "bill.csv"
    tasks = [row[0] for row in lines(home)[:-1]]
    path.write_text(f"task_id,amount\n{tasks[0]},0.50\n{tasks[1]},0.5\n{tasks[2]},0.75\n", encoding="utf-8")
    for adjusted in ("0.5", "0"):
        result = reconcile_invoice(pipeline, "kling-gateway", path)
        assert isinstance(result, Reconciled)
        assert result.adjusted_micros == to_micros(Decimal(adjusted))
    assert status(pipeline).accounts[0].committed == Decimal("3.5")


def test_an_invoice_of_another_account_is_refused_and_leaves_nothing_behind(
    resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    _, pipeline, _ = resold
    bill = invoice(tmp_path / "bill.csv", [(f"other-{number}", "1", "2026-11-20") for number in range(30)])
    result = reconcile_invoice(pipeline, "kling-gateway", bill)
    assert isinstance(result, InvoiceProblems)
    check_user_text(result.text())
    assert status(pipeline).disagreements == ()


def test_a_billed_task_that_may_be_a_doubts_is_offered_and_not_adopted(home: EngineHome, tmp_path: Path) -> None:
    home.write([planted(home, "kling-gateway", 0)], other_account("kling-gateway", home.sandbox.base_url))
    home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        (task,) = home.sandbox.tasks()
        bill = invoice(tmp_path / "bill.csv", [(task["task_id"], "1", "2100-01-01")])
        result = reconcile_invoice(pipeline, "kling-gateway", bill)
        assert isinstance(result, Reconciled)
        (item,) = result.disagreements
        where = "kling-gateway-0/1"
        assert f"resolve {where} adopt {task['task_id']}" in item.note
        check_user_text(item.note)
        assert adopted_attempts(pipeline) == []
        assert isinstance(adopt(pipeline, where, task["task_id"], who="ann", why="the bill"), Resolved)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        result = reconcile_invoice(pipeline, "kling-gateway", bill)
        assert isinstance(result, Reconciled)
        assert verdicts(result) == {"matched": 1}


def test_an_invoice_that_can_not_be_read_changes_nothing(
    resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    _, pipeline, _ = resold
    bill = tmp_path / "bill.csv"
    bill.write_text("task_id,units\n8.27942E+17,1\n123,1,5\n456,abc\n", encoding="utf-8")
    result = reconcile_invoice(pipeline, "kling-gateway", bill)
    assert isinstance(result, InvoiceProblems)
    assert len(result.problems) >= 2
    assert status(pipeline).disagreements == ()
    advance(pipeline, publish=False)
