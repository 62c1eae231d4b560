"""Amounts of a bill that differ from the ledger's: adjusted, reported, and given back only where it is sure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import select

from extend_pipeline.base.units import to_micros
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Resolved, write_off
from extend_pipeline.engine.reconcile.run_all import reconcile_account, reconcile_everything
from extend_pipeline.engine.reconcile.statements import StatementUnavailable
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict
from extend_pipeline_tests.engine.reconcile.comparing import (
    SECOND_DAY_MS,
    WITHOUT_AMOUNTS,
    charged,
    compare_statements,
    verdicts,
)
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text


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


def test_another_amount_is_adjusted_reported_and_stops_the_account(billed: EngineHome) -> None:
    billed.seeded(2)
    billed.sandbox.faults(
        [
            {"kind": "odd_deduction", "where": "submit", "units": "3.5"},
            *WITHOUT_AMOUNTS,
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
            *WITHOUT_AMOUNTS,
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
            *WITHOUT_AMOUNTS,
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
