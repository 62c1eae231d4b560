"""The ledger against the providers' books: amounts are mended, strangers taken over, and every difference is told."""

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
from extend_pipeline.ledger.read.attempt_row import ADOPTED
from extend_pipeline.ledger.states import VideoState
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
    """A home whose sandbox bills at once, and whose account nobody else uses."""
    home = make_home(billing_delay=0, billing_interval=0)
    home.account = {"adopt_orphans": "all"}
    return home


def books(pipeline: Pipeline, name: str = "k", **options: Any) -> dict[str, Reconciled]:
    """Every book of an account, compared."""
    waited: list[float] = []
    found = {}
    for each in reconcile_account(pipeline, name, pause=waited.append, **options):
        assert isinstance(each, Reconciled), each
        found[each.source] = each
    return found


def verdicts(of: Reconciled) -> dict[str, int]:
    """How often each verdict was given."""
    names = [each.verdict.value for each in of.compared]
    return {name: names.count(name) for name in set(names)}


def charged(home: EngineHome) -> Decimal:
    """What the sandbox's charge book holds of Kling's."""
    return Decimal(home.sandbox.charges()["total_units"])


def orphans(pipeline: Pipeline) -> list[Row[Any]]:
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(table).where(table.c.chain_digest == ADOPTED)))


def test_books_that_agree_change_nothing(billed: EngineHome) -> None:
    billed.seeded(3)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        clock.skip(SECOND_DAY_MS)
        found = books(pipeline)
        assert verdicts(found["list"]) == verdicts(found["billing"]) == {"matched": 3}
        assert all(each.complete and not each.disagreements for each in found.values())
        with pipeline.ledger.read() as connection:
            before = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
        books(pipeline)
        with pipeline.ledger.read() as connection:
            assert connection.execute(select(tables.ledger_head.c.seq)).scalar_one() == before
        assert status(pipeline).exit_code == 0


def test_a_task_that_only_the_provider_knows_is_taken_over_with_its_cost_and_its_file(billed: EngineHome) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        stranger = billed.sandbox.foreign_task()
        found = books(pipeline)
        (told,) = found["list"].disagreements
        assert (told.verdict, told.task_id) == (ReconciliationVerdict.UPSTREAM_ONLY, stranger["task_id"])
        check_user_text(told.note)
        assert found["list"].adopted == (stranger["task_id"],)
        assert found["billing"].adopted == ()
        assert status(pipeline).exit_code == 1  # told once, until the next comparison
        assert [row.state for row in status(pipeline).orphans] == ["submitted"]
        drive(pipeline, publish=True)
        (orphan,) = orphans(pipeline)
        assert (orphan.state, orphan.settled_micros) == ("stored", to_micros(Decimal(2)))
        assert (pipeline.settings.media_dir / orphan.path).stat().st_size == orphan.bytes
        assert status(pipeline).accounts[0].committed == Decimal(4) == charged(billed)
        assert verdicts(books(pipeline)["list"]) == {"matched": 2}
        assert status(pipeline).exit_code == 0
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, billed.path)
        rows = query(billed.settings.warehouse_path, "SELECT video_key, units FROM completed_extensions").rows
        assert sorted(row[0] for row in rows) == [f"orphan:k:{stranger['task_id']}", "v000"]


def test_strangers_are_only_counted_where_others_use_the_account_too(billed: EngineHome) -> None:
    billed.seeded(1)
    billed.accounts(account(billed.sandbox.base_url, adopt_orphans=False))
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        stranger = billed.sandbox.foreign_task()
        assert {name: (book.disagreements, book.others) for name, book in books(pipeline).items()} == {
            "list": ((), 1),
            "billing": ((), 1),
        }
        assert orphans(pipeline) == []
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            assert not reconciliation.accept(tx, account="k", source="list", task_id=stranger["task_id"], why="bob's")
        assert status(pipeline).exit_code == 0


def test_what_was_made_before_the_first_claim_is_nobodys_here(billed: EngineHome) -> None:
    billed.seeded(1)
    billed.sandbox.foreign_task(age=3 * 86_400)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert {name: verdicts(book) for name, book in books(pipeline).items()} == {
            "list": {"matched": 1},
            "billing": {"open": 1},  # of today
        }


def test_another_amount_is_adjusted_told_and_stops_the_account(billed: EngineHome) -> None:
    billed.seeded(2)
    billed.sandbox.faults(
        [
            {"kind": "odd_deduction", "where": "submit", "units": "3.5"},
            # the answers tell no amount, so that the prediction is booked
            {"kind": "no_unit_deduction", "where": "query", "times": 50},
            {"kind": "no_unit_deduction", "where": "list", "times": 50},
        ]
    )
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        assert status(pipeline).accounts[0].committed == Decimal(4)
        clock.skip(SECOND_DAY_MS)
        found = books(pipeline)
        assert verdicts(found["list"]) == {"matched": 2}  # it tells no amount
        (told,) = found["billing"].disagreements
        assert (told.ledger_micros, told.upstream_micros) == (to_micros(Decimal(2)), to_micros(Decimal("3.5")))
        assert found["billing"].adjusted_micros == to_micros(Decimal("1.5"))
        now = status(pipeline)
        assert now.accounts[0].committed == Decimal("5.5") == charged(billed)
        assert now.accounts[0].stopped is not None
        check_user_text(now.accounts[0].stopped)
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, billed.path)
        assert verdicts(books(pipeline)["billing"]) == {"matched": 2}


@pytest.mark.parametrize("refunds", [True, False])
def test_a_failed_task_keeps_its_reservation_until_the_bill_is_there(
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
        assert verdicts(books(pipeline)["billing"]).keys() <= {"open"}  # not all of its lines need be there yet
        clock.skip(SECOND_DAY_MS)
        books(pipeline)
        expected = Decimal(0) if refunds else Decimal(2)
        assert status(pipeline).accounts[0].committed == expected == charged(home)
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, home.path)


def test_what_was_given_up_in_doubt_and_nowhere_billed_is_given_back(billed: EngineHome) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        billed.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
        drive(pipeline)  # no task of the account is known, so that a look-up proves nothing
        assert isinstance(write_off(pipeline, "v000/1", who="ann", why="nobody knows"), Resolved)
        assert status(pipeline).accounts[0].committed == Decimal(2)
        assert verdicts(books(pipeline)["billing"]) == {}  # too young for a bill
        clock.skip(SECOND_DAY_MS)
        (told,) = books(pipeline)["billing"].compared
        assert (told.verdict, told.upstream_micros) == (ReconciliationVerdict.MATCHED, 0)
        check_user_text(told.note)
        assert status(pipeline).accounts[0].committed == 0 == charged(billed)
        assert check_invariants(pipeline.ledger) == []


def test_what_the_balance_paid_is_no_gap_in_the_bill_of_the_packs(make_home: Callable[..., EngineHome]) -> None:
    """Kling bills what the balance paid by another route: nothing of it may be taken for a task that cost nothing."""
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
        assert isinstance(write_off(pipeline, doubt.where, who="ann", why="in a hurry"), Resolved)
        drive(pipeline)
        clock.skip(SECOND_DAY_MS)
        for _ in range(2):
            billing = books(pipeline, adopt=False)["billing"]
            assert billing.complete
            assert billing.adjusted_micros == 0
            assert [each.verdict for each in billing.disagreements] == [
                ReconciliationVerdict.LEDGER_ONLY,
                ReconciliationVerdict.UPSTREAM_ONLY,
            ]
        assert status(pipeline).accounts[0].committed == Decimal(6) == charged(home)
        home.sandbox.faults([{"kind": "5xx_before", "where": "billing", "skip": 1}])
        billing = books(pipeline, adopt=False)["billing"]
        assert not billing.complete  # where the other bill isn't answered, what this one lacks means nothing
        assert billing.compared == ()


def test_a_bill_that_is_not_answered_compares_nothing_and_says_so(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        billed.sandbox.faults([{"kind": "5xx_before", "where": "list", "times": 50}])
        found = list(reconcile_account(pipeline, "k", pause=lambda _: None))
        assert any(isinstance(each, StatementUnavailable) and each.source == "list" for each in found)
        assert status(pipeline).disagreements == ()


def test_accounts_that_were_never_used_are_left_alone(billed: EngineHome) -> None:
    billed.write([], account(billed.sandbox.base_url))
    with billed.open(JumpClock()) as pipeline:
        assert list(reconcile_everything(pipeline, pause=lambda _: None)) == []


# --- invoices ----------------------------------------------------------------------------------------------------


@pytest.fixture
def resold(home: EngineHome) -> Iterator[tuple[EngineHome, Pipeline, JumpClock]]:
    """A home with three finished extensions of a gateway's account, open."""
    entries = [planted(home, "kling-gateway", number) for number in range(3)]
    home.write(entries, other_account("kling-gateway", home.sandbox.base_url, adopt_orphans="all"))
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        yield home, pipeline, clock


def invoice(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A bill as a person would save it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("task_id", "units", "date"), *rows])
    return path


def lines(home: EngineHome, units: str = "1") -> list[tuple[str, str, str]]:
    """What the gateway charged, a day before and after."""
    tasks = [(task["task_id"], units, "2020-01-01") for task in home.sandbox.tasks()]
    return [*tasks, ("closing", "0", "2100-01-01")]


def test_an_invoice_that_agrees(resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path) -> None:
    home, pipeline, _ = resold
    found = reconcile_invoice(pipeline, "kling-gateway", invoice(tmp_path / "bill.csv", lines(home)[:-1]))
    assert isinstance(found, Reconciled)
    assert verdicts(found) == {"matched": 3}


def test_an_invoice_with_another_amount_a_stranger_and_a_gap(
    resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    home, pipeline, clock = resold
    stranger = home.sandbox.foreign_task(provider="kling-gateway")
    clock.skip(3 * DAY_MS)
    today = day_of(clock(), "UTC")
    ours = [row for row in lines(home)[:-1] if row[0] != stranger["task_id"]]
    rows = [(ours[0][0], "2", ours[0][2]), ours[1], (stranger["task_id"], "1", today)]
    found = reconcile_invoice(pipeline, "kling-gateway", invoice(tmp_path / "bill.csv", rows))
    assert isinstance(found, Reconciled)
    by_task = {each.task_id: each for each in found.compared}
    assert by_task[ours[0][0]].verdict is ReconciliationVerdict.DIFFERENT_AMOUNT
    assert by_task[ours[1][0]].verdict is ReconciliationVerdict.MATCHED
    assert by_task[ours[2][0]].verdict is ReconciliationVerdict.LEDGER_ONLY
    assert by_task[stranger["task_id"]].verdict is ReconciliationVerdict.UPSTREAM_ONLY
    assert found.adopted == (stranger["task_id"],)
    drive(pipeline)
    assert [row.state for row in orphans(pipeline)] == ["stored"]
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
        found = reconcile_invoice(pipeline, "kling-gateway", path)
        assert isinstance(found, Reconciled)
        assert found.adjusted_micros == to_micros(Decimal(adjusted))
    assert status(pipeline).accounts[0].committed == Decimal("3.5")


def test_an_invoice_of_another_account_is_refused_and_leaves_nothing_behind(
    resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    _, pipeline, _ = resold
    bill = invoice(tmp_path / "bill.csv", [(f"other-{number}", "1", "2026-11-20") for number in range(30)])
    found = reconcile_invoice(pipeline, "kling-gateway", bill)
    assert isinstance(found, InvoiceProblems)
    check_user_text(found.text())
    assert status(pipeline).disagreements == ()


def test_a_billed_task_that_may_be_a_doubt_is_offered_and_not_taken_over(home: EngineHome, tmp_path: Path) -> None:
    home.write([planted(home, "kling-gateway", 0)], other_account("kling-gateway", home.sandbox.base_url))
    home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        (task,) = home.sandbox.tasks()
        bill = invoice(tmp_path / "bill.csv", [(task["task_id"], "1", "2100-01-01")])
        found = reconcile_invoice(pipeline, "kling-gateway", bill)
        assert isinstance(found, Reconciled)
        (told,) = found.disagreements
        where = "kling-gateway-0/1"
        assert f"resolve {where} adopt {task['task_id']}" in told.note
        check_user_text(told.note)
        assert orphans(pipeline) == []
        assert isinstance(adopt(pipeline, where, task["task_id"], who="ann", why="the bill"), Resolved)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        found = reconcile_invoice(pipeline, "kling-gateway", bill)
        assert isinstance(found, Reconciled)
        assert verdicts(found) == {"matched": 1}


def test_an_invoice_that_can_not_be_read_changes_nothing(
    resold: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    _, pipeline, _ = resold
    bill = tmp_path / "bill.csv"
    bill.write_text("task_id,units\n8.27942E+17,1\n123,1,5\n456,abc\n", encoding="utf-8")
    found = reconcile_invoice(pipeline, "kling-gateway", bill)
    assert isinstance(found, InvoiceProblems)
    assert len(found.problems) >= 2
    assert status(pipeline).disagreements == ()
    advance(pipeline, publish=False)


def test_what_the_bill_holds_beside_extensions_is_asked_for_once(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        book = Statement(
            name="billing",
            lines={"771": StatementLine("771", to_micros(Decimal(10)))},  # a picture, say
            from_ms=0,
            to_ms=0,
            complete=True,
        )

        def asked() -> int:
            return int(billed.sandbox.requests()["total"])

        before = asked()
        first = reconcile(pipeline, "k", book)
        assert [each.verdict for each in first.compared if each.task_id == "771"] == [ReconciliationVerdict.OTHER]
        assert asked() == before + 2  # and for one that is known to be there
        assert reconcile(pipeline, "k", book).disagreements == ()
        assert asked() == before + 2
        assert status(pipeline).exit_code == 0
