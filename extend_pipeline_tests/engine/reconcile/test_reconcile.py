"""The ledger and the providers' statements: amounts are adjusted, unmatched tasks adopted, differences reported."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, select

from extend_pipeline.base.days import day_of
from extend_pipeline.base.units import to_micros
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Resolved, adopt, write_off
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.compare import Statement, StatementLine
from extend_pipeline.engine.reconcile.invoice.read import InvoiceProblems
from extend_pipeline.engine.reconcile.run import Reconciled, reconcile
from extend_pipeline.engine.reconcile.run_all import reconcile_account, reconcile_everything, reconcile_invoice
from extend_pipeline.engine.reconcile.statements import StatementUnavailable
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import ADOPTED, VideoState
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text

SECOND_DAY_MS = DAY_MS + 7_200_000  # by then a bill holds what was charged on the first


@pytest.fixture
def billed(make_home: Callable[..., EngineHome]) -> EngineHome:
    """Return a home whose sandbox bills at once, and whose account has no other customer."""
    home = make_home(billing_delay=0, billing_interval=0)
    home.account = {"adopt_orphans": "all"}
    return home


def compare_statements(pipeline: Pipeline, name: str = "k", **options: Any) -> dict[str, Reconciled]:
    """Compare every statement of an account; return the results by source."""
    waited: list[float] = []
    results = {}
    for result in reconcile_account(pipeline, name, pause=waited.append, **options):
        assert isinstance(result, Reconciled), result
        results[result.source] = result
    return results


def verdicts(result: Reconciled) -> dict[str, int]:
    """Return how often each verdict was given."""
    names = [item.verdict.value for item in result.compared]
    return {name: names.count(name) for name in set(names)}


def charged(home: EngineHome) -> Decimal:
    """Return the units that the sandbox has charged."""
    return Decimal(home.sandbox.charges()["total_units"])


def adopted_attempts(pipeline: Pipeline) -> list[Row[Any]]:
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(table).where(table.c.chain_digest == ADOPTED)))


def test_statements_that_agree_change_nothing(billed: EngineHome) -> None:
    billed.seeded(3)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        clock.skip(SECOND_DAY_MS)
        results = compare_statements(pipeline)
        assert verdicts(results["list"]) == verdicts(results["billing"]) == {"matched": 3}
        assert all(result.complete and not result.disagreements for result in results.values())
        with pipeline.ledger.read() as connection:
            before = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
        compare_statements(pipeline)
        with pipeline.ledger.read() as connection:
            assert connection.execute(select(tables.ledger_head.c.seq)).scalar_one() == before
        assert status(pipeline).exit_code == 0


def test_a_task_that_only_the_provider_knows_is_adopted_with_its_cost_and_its_file(billed: EngineHome) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        foreign = billed.sandbox.foreign_task()
        results = compare_statements(pipeline)
        (item,) = results["list"].disagreements
        assert (item.verdict, item.task_id) == (ReconciliationVerdict.UPSTREAM_ONLY, foreign["task_id"])
        check_user_text(item.note)
        assert results["list"].adopted == (foreign["task_id"],)
        assert results["billing"].adopted == ()
        assert status(pipeline).exit_code == 1  # reported once, until the next comparison
        assert [row.state for row in status(pipeline).orphans] == ["submitted"]
        drive(pipeline, publish=True)
        (adopted,) = adopted_attempts(pipeline)
        assert (adopted.state, adopted.settled_micros) == ("stored", to_micros(Decimal(2)))
        assert (pipeline.settings.media_dir / adopted.path).stat().st_size == adopted.bytes
        assert status(pipeline).accounts[0].committed == Decimal(4) == charged(billed)
        assert verdicts(compare_statements(pipeline)["list"]) == {"matched": 2}
        assert status(pipeline).exit_code == 0
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, billed.path)
        rows = query(billed.settings.warehouse_path, "SELECT video_key, units FROM completed_extensions").rows
        assert sorted(row[0] for row in rows) == [f"orphan:k:{foreign['task_id']}", "v000"]


def test_unmatched_tasks_are_only_counted_where_others_use_the_account_too(billed: EngineHome) -> None:
    billed.seeded(1)
    billed.accounts(account(billed.sandbox.base_url, adopt_orphans=False))
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        foreign = billed.sandbox.foreign_task()
        assert {
            name: (result.disagreements, result.others) for name, result in compare_statements(pipeline).items()
        } == {
            "list": ((), 1),
            "billing": ((), 1),
        }
        assert adopted_attempts(pipeline) == []
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            assert not reconciliation.accept(tx, account="k", source="list", task_id=foreign["task_id"], why="bob's")
        assert status(pipeline).exit_code == 0


def test_a_task_from_before_the_first_claim_is_ignored(billed: EngineHome) -> None:
    billed.seeded(1)
    billed.sandbox.foreign_task(age=3 * 86_400)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert {name: verdicts(result) for name, result in compare_statements(pipeline).items()} == {
            "list": {"matched": 1},
            "billing": {"open": 1},  # of today
        }


def test_another_amount_is_adjusted_reported_and_stops_the_account(billed: EngineHome) -> None:
    billed.seeded(2)
    billed.sandbox.faults(
        [
            {"kind": "odd_deduction", "where": "submit", "units": "3.5"},
            # the responses have no amount, so that the prediction is booked
            {"kind": "no_unit_deduction", "where": "query", "times": 50},
            {"kind": "no_unit_deduction", "where": "list", "times": 50},
        ]
    )
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        assert status(pipeline).accounts[0].committed == Decimal(4)
        clock.skip(SECOND_DAY_MS)
        results = compare_statements(pipeline)
        assert verdicts(results["list"]) == {"matched": 2}  # the list has no amount
        (item,) = results["billing"].disagreements
        assert (item.ledger_micros, item.upstream_micros) == (to_micros(Decimal(2)), to_micros(Decimal("3.5")))
        assert results["billing"].adjusted_micros == to_micros(Decimal("1.5"))
        now = status(pipeline)
        assert now.accounts[0].committed == Decimal("5.5") == charged(billed)
        assert now.accounts[0].stopped is not None
        with pipeline.ledger.read() as connection:
            of_task = select(tables.attempts.c.video_key).where(tables.attempts.c.task_id == item.task_id)
            dearer = connection.execute(of_task).scalar_one()  # whose submit the fault met is a matter of luck
        check_user_text(now.accounts[0].stopped, without={dearer: "VIDEO"})
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, billed.path)
        assert verdicts(compare_statements(pipeline)["billing"]) == {"matched": 2}


@pytest.mark.parametrize("refunds", [True, False])
def test_a_failed_task_keeps_its_reservation_until_the_bill_is_available(
    refunds: bool, make_home: Callable[..., EngineHome]
) -> None:
    home = make_home(billing_delay=0, billing_interval=0, refund_failed=refunds)
    home.seeded(1)
    home.sandbox.faults(
        [
            {"kind": "fail_task", "where": "submit"},
            {"kind": "no_unit_deduction", "where": "query", "times": 50},
            {"kind": "no_unit_deduction", "where": "list", "times": 50},
        ]
    )
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        assert status(pipeline).accounts[0].committed == Decimal(2)
        assert verdicts(compare_statements(pipeline)["billing"]).keys() <= {
            "open"
        }  # not all of its lines need be there yet
        clock.skip(SECOND_DAY_MS)
        compare_statements(pipeline)
        expected = Decimal(0) if refunds else Decimal(2)
        assert status(pipeline).accounts[0].committed == expected == charged(home)
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, home.path)


def test_the_charge_of_a_write_off_that_was_never_billed_is_returned(billed: EngineHome) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        billed.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
        drive(pipeline)  # no task of the account is known, so that a look-up proves nothing
        assert isinstance(write_off(pipeline, "v000/1", who="ann", why="unknown"), Resolved)
        assert status(pipeline).accounts[0].committed == Decimal(2)
        assert verdicts(compare_statements(pipeline)["billing"]) == {}  # too young for a bill
        clock.skip(SECOND_DAY_MS)
        (item,) = compare_statements(pipeline)["billing"].compared
        assert (item.verdict, item.upstream_micros) == (ReconciliationVerdict.MATCHED, 0)
        check_user_text(item.note)
        assert status(pipeline).accounts[0].committed == 0 == charged(billed)
        assert check_invariants(pipeline.ledger) == []


def test_tasks_that_the_balance_paid_are_no_gap_in_the_bill_of_the_packs(make_home: Callable[..., EngineHome]) -> None:
    """Kling bills what the balance paid by another route: none of these tasks may be booked as free of charge."""
    home = make_home(billing_delay=0, billing_interval=0, postpaid=True, refund_failed=False)
    home.seeded(3)
    home.sandbox.faults(
        [
            {"kind": "fail_task", "where": "submit"},
            {"kind": "reset_after", "where": "submit"},
            {"kind": "no_unit_deduction", "where": "query", "times": 50},
            {"kind": "no_unit_deduction", "where": "list", "times": 50},
        ]
    )
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        (doubt,) = status(pipeline).doubts
        assert isinstance(write_off(pipeline, doubt.attempt.where, who="ann", why="in a hurry"), Resolved)
        drive(pipeline)
        clock.skip(SECOND_DAY_MS)
        for _ in range(2):
            billing = compare_statements(pipeline, adopt=False)["billing"]
            assert billing.complete
            assert billing.adjusted_micros == 0
            assert [item.verdict for item in billing.disagreements] == [
                ReconciliationVerdict.LEDGER_ONLY,
                ReconciliationVerdict.UPSTREAM_ONLY,
            ]
        assert status(pipeline).accounts[0].committed == Decimal(6) == charged(home)
        home.sandbox.faults([{"kind": "5xx_before", "where": "billing", "skip": 1}])
        billing = compare_statements(pipeline, adopt=False)["billing"]
        assert not billing.complete  # where the other bill is unavailable, what this one lacks proves nothing
        assert billing.compared == ()


def test_an_unavailable_statement_compares_nothing_and_is_reported(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        billed.sandbox.faults([{"kind": "5xx_before", "where": "list", "times": 50}])
        results = list(reconcile_account(pipeline, "k", pause=lambda _: None))
        assert any(isinstance(result, StatementUnavailable) and result.source == "list" for result in results)
        assert status(pipeline).disagreements == ()


def test_accounts_that_were_never_used_are_left_alone(billed: EngineHome) -> None:
    billed.write([], account(billed.sandbox.base_url))
    with billed.open(JumpClock()) as pipeline:
        assert list(reconcile_everything(pipeline, pause=lambda _: None)) == []


# --- invoices ----------------------------------------------------------------------------------------------------


@pytest.fixture
def resold(home: EngineHome) -> Iterator[tuple[EngineHome, Pipeline, JumpClock]]:
    """Yield an open home with three finished extensions of a gateway's account."""
    entries = [planted(home, "kling-gateway", number) for number in range(3)]
    home.write(entries, other_account("kling-gateway", home.sandbox.base_url, adopt_orphans="all"))
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        yield home, pipeline, clock


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


def test_a_billed_task_that_is_no_extension_is_queried_once(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        statement = Statement(
            name="billing",
            lines={"771": StatementLine("771", to_micros(Decimal(10)))},  # an image, for example
            from_ms=0,
            to_ms=0,
            complete=True,
        )

        def request_count() -> int:
            return int(billed.sandbox.requests()["total"])

        before = request_count()
        first = reconcile(pipeline, "k", statement)
        assert [item.verdict for item in first.compared if item.task_id == "771"] == [ReconciliationVerdict.OTHER]
        assert request_count() == before + 2  # and for one that is known to exist
        assert reconcile(pipeline, "k", statement).disagreements == ()
        assert request_count() == before + 2
        assert status(pipeline).exit_code == 0
