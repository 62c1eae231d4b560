"""Less than predicted is booked and reported once, and work goes on; more than tolerated stops the account."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.config.model.price import Price
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling.deductions import Deduction, classify_deduction, price_line
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_account
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same

WITHOUT_AMOUNT = [{"kind": "no_unit_deduction", "where": where, "times": 50} for where in ("query", "list")]


def odd(units: str, times: int = 1) -> dict[str, Any]:
    """Return a fault: the next `times` submits cost `units`."""
    return {"kind": "odd_deduction", "where": "submit", "units": units, "times": times}


def reported_events(pipeline: Pipeline) -> int:
    """Return how many events report a lower price."""
    with pipeline.ledger.read() as connection:
        query = select(func.count()).where(tables.events.c.kind == "charged_less")
        return int(connection.execute(query).scalar_one())


@pytest.mark.parametrize(
    ("charged", "tolerance", "deduction"),
    [
        (2, 0, Deduction.AS_PREDICTED),
        (1, 0, Deduction.LESS),
        (0, 0, Deduction.LESS),
        (3, 0, Deduction.MORE),
        (1, 1, Deduction.AS_PREDICTED),
        (3, 1, Deduction.AS_PREDICTED),
        (4, 1, Deduction.MORE),
    ],
)
def test_a_charge_is_compared_with_its_prediction(charged: int, tolerance: int, deduction: Deduction) -> None:
    assert classify_deduction(charged, 2, tolerance=tolerance) is deduction


@pytest.mark.parametrize(
    ("amounts", "key", "charged", "line"),
    [
        ({"std": "2", "pro": "3.5"}, "std", "1.5", "per_extension: {std: 1.5, pro: 3.5}"),
        ("2", "std", "1.5", "per_extension: 1.5"),
        ({"m/720p": "1"}, "m/720p/5", "0.5", "per_extension: {m/720p: 1, m/720p/5: 0.5}"),
        ({"std": "2"}, "std", "0", ""),
    ],
)
def test_the_line_to_write_has_every_price(amounts: object, key: str, charged: str, line: str) -> None:
    price = Price.model_validate({"unit": "u", "per_extension": amounts, "unit_price": 1, "currency": "USD"})
    assert price_line(price, key, to_micros(Decimal(charged))) == line


def test_a_promotion_is_booked_reported_once_and_stops_nothing(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(2, steps=2)
    home.sandbox.faults([odd("1.5", 3)])
    with home.open(JumpClock()) as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        now = status(pipeline)
        assert now.accounts[0].stopped is None
        assert now.accounts[0].committed == Decimal("6.5") == Decimal(home.sandbox.charges()["total_units"])
        (lower,) = now.lower_prices
        assert (lower.price_key, lower.charged, lower.predicted) == ("std", Decimal("1.5"), Decimal(2))
        prices = {"std": "1.5", "pro": "3.5"}
        assert lower.line == f"per_extension: {{{', '.join(f'{key}: {units}' for key, units in prices.items())}}}"
        assert now.exit_code == 0
        assert reported_events(pipeline) == 1
        assert reckon(home, pipeline.ledger).charges == 4
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, home.path)


def test_a_gift_pack_that_deducts_nothing_is_reported_apart_by_its_round(home: EngineHome) -> None:
    home.seeded(2)
    home.accounts(account(home.sandbox.base_url, max_in_flight=1))
    home.sandbox.faults([odd("0"), odd("1.5")])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        rounds = []
        while not rounds or rounds[-1].plan.unfinished:
            rounds.append(advance(pipeline, publish=False))
            clock.skip(1_000)
        assert [lower.charged for report in rounds for lower in report.lower_prices] == [Decimal(0), Decimal("1.5")]
        assert [lower.line for lower in status(pipeline).lower_prices][-1] == ""
        assert status(pipeline).accounts[0].committed == Decimal("1.5")
        assert check_invariants(pipeline.ledger) == []


def test_a_price_that_is_in_the_account_is_no_longer_reported(home: EngineHome) -> None:
    home.seeded(1)
    home.sandbox.faults([odd("1.5")])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        assert len(status(pipeline).lower_prices) == 1
        price = {"unit": "kling-unit", "per_extension": {"std": 1.5, "pro": 3.5}, "unit_price": 0.14, "currency": "USD"}
        home.accounts(account(home.sandbox.base_url, price=price))
        pipeline.refresh()
        assert status(pipeline).lower_prices == ()
        home.accounts(account(home.sandbox.base_url))
        pipeline.refresh()
        clock.skip(31 * DAY_MS)
        assert status(pipeline).lower_prices == ()


@pytest.mark.parametrize(
    ("units", "stopped", "reported"),
    [("1.5", False, 1), ("0", False, 1), ("3.5", True, 0)],
    ids=["less", "free", "more"],
)
def test_a_bill_decides_the_same_way(
    units: str, stopped: bool, reported: int, make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url, billing_delay=0, billing_interval=0)
    home.seeded(3)
    home.sandbox.faults([odd(units, 2), *WITHOUT_AMOUNT])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        clock.skip(DAY_MS + 7_200_000)
        for comparison in reconcile_account(pipeline, "k", pause=lambda _: None):
            assert isinstance(comparison, Reconciled)
            if comparison.source == "billing":
                assert len(comparison.disagreements) == (2 if stopped else 0)
        now = status(pipeline)
        assert (now.accounts[0].stopped is not None) is stopped
        assert len(now.lower_prices) == reported_events(pipeline) == reported
        assert now.accounts[0].committed == Decimal(home.sandbox.charges()["total_units"])
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, home.path)


def test_a_promotion_that_is_billed_in_full_costs_the_predicted_amount(make_home: Callable[..., EngineHome]) -> None:
    home = make_home(billing_delay=0, billing_interval=0)
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        home.sandbox.faults([odd("2")])
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            attempt = connection.execute(select(tables.attempts)).one()
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            reconciliation.book_billed(tx, attempt.attempt_id, micros=to_micros(Decimal("1.5")))
        clock.skip(DAY_MS + 7_200_000)
        list(reconcile_account(pipeline, "k", pause=lambda _: None))
        assert status(pipeline).accounts[0].committed == 2
        assert status(pipeline).accounts[0].stopped is None
