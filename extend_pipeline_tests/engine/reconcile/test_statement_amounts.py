"""Which amount counts, and what a statement that is young, cut, wrong or unrelated may not change in the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlalchemy import insert, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.compare import Comparison, Statement, StatementLine
from extend_pipeline.engine.reconcile.compare import compare_statement as compare_books
from extend_pipeline.engine.reconcile.invoice.read import Invoice, InvoiceRow
from extend_pipeline.engine.reconcile.run import reconcile
from extend_pipeline.engine.reconcile.statements import EDGE_MS, ProviderStatement, invoice_statement, read_statements
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.read.reconciliation_queries import ChargedAttempt
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import controls, reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict
from extend_pipeline.providers.protocol import PageOutcome, Provider
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, drive, impatient_provider
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text

UNIT = to_micros(1)


@pytest.fixture
def paid_home(home: EngineHome) -> Iterator[tuple[EngineHome, Pipeline, JumpClock]]:
    """Yield an open home with one extension of 2 units, finished two days ago."""
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        clock.skip(2 * DAY_MS)
        yield home, pipeline, clock


def only_task(pipeline: Pipeline) -> str:
    with pipeline.ledger.read() as connection:
        return str(connection.execute(select(tables.attempts.c.task_id)).scalar_one())


def statement_with(pipeline: Pipeline, name: str, units: str, *, age_ms: int = DAY_MS) -> Statement:
    """Return a statement that is complete up to `age_ms` ago and has the only task with an amount."""
    task_id = only_task(pipeline)
    lines = {task_id: StatementLine(task_id, _signed(units))}
    return Statement(name=name, lines=lines, from_ms=0, to_ms=pipeline.now_ms() - age_ms, complete=True)


def _signed(units: str) -> int:
    return -to_micros(units[1:]) if units.startswith("-") else to_micros(units)


def entries(pipeline: Pipeline, entry: str = "adjust") -> list[int]:
    table = tables.charges
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(table.c.micros).where(table.c.entry == entry)).scalars())


def resume(pipeline: Pipeline) -> None:
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
        controls.resume(tx, "k", why="seen")


def test_a_bill_counts_for_more_than_a_list_and_an_invoice_for_more_than_both(
    paid_home: tuple[EngineHome, Pipeline, JumpClock],
) -> None:
    home, pipeline, _ = paid_home
    for _ in range(3):
        (listed,) = reconcile(pipeline, "k", statement_with(pipeline, "list", "2")).compared
        assert listed.verdict is ReconciliationVerdict.MATCHED
        reconcile(pipeline, "k", statement_with(pipeline, "billing", "3.5"))
    check_user_text(listed.note)
    assert entries(pipeline) == [to_micros(Decimal("1.5"))]  # once, not back and forth
    resume(pipeline)
    for _ in range(2):
        reconcile(pipeline, "k", statement_with(pipeline, "invoice", "3"))
        reconcile(pipeline, "k", statement_with(pipeline, "billing", "3.5"))
        reconcile(pipeline, "k", statement_with(pipeline, "list", "2"))
    assert entries(pipeline) == [to_micros(Decimal("1.5")), -to_micros(Decimal("0.5"))]
    assert status(pipeline).accounts[0].committed == 3
    assert check_invariants(pipeline.ledger) == []
    replays_to_the_same(pipeline.ledger, home.path)


def test_an_acknowledged_amount_counts_for_more_than_a_list(
    paid_home: tuple[EngineHome, Pipeline, JumpClock],
) -> None:
    _, pipeline, _ = paid_home
    task_id = only_task(pipeline)
    reconcile(pipeline, "k", statement_with(pipeline, "billing", "3.5"))
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
        assert reconciliation.accept(tx, account="k", source="billing", task_id=task_id, why="known")
    resume(pipeline)
    for _ in range(2):
        reconcile(pipeline, "k", statement_with(pipeline, "list", "2"))
        reconcile(pipeline, "k", statement_with(pipeline, "billing", "3.5"))
    assert entries(pipeline) == [to_micros(Decimal("1.5"))]
    assert status(pipeline).accounts[0].stopped is None


def test_the_first_lines_of_a_young_bill_are_no_amount_yet(paid_home: tuple[EngineHome, Pipeline, JumpClock]) -> None:
    _, pipeline, _ = paid_home
    (item,) = reconcile(pipeline, "k", statement_with(pipeline, "billing", "1", age_ms=3 * DAY_MS)).compared
    assert item.verdict is ReconciliationVerdict.OPEN
    assert entries(pipeline) == []
    assert status(pipeline).accounts[0].stopped is None
    (item,) = reconcile(pipeline, "k", statement_with(pipeline, "billing", "2")).compared
    assert item.verdict is ReconciliationVerdict.MATCHED


def test_returned_units_alone_are_no_negative_price(paid_home: tuple[EngineHome, Pipeline, JumpClock]) -> None:
    _, pipeline, _ = paid_home
    (item,) = reconcile(pipeline, "k", statement_with(pipeline, "invoice", "-2")).compared
    assert item.verdict is ReconciliationVerdict.DIFFERENT_AMOUNT
    check_user_text(item.note)
    assert status(pipeline).accounts[0].committed == 2
    assert status(pipeline).accounts[0].stopped is None


def test_acknowledging_a_gap_of_a_list_returns_no_charge(paid_home: tuple[EngineHome, Pipeline, JumpClock]) -> None:
    _, pipeline, _ = paid_home
    task_id = only_task(pipeline)
    empty = Statement(name="list", lines={}, from_ms=0, to_ms=pipeline.now_ms(), complete=True)
    (item,) = reconcile(pipeline, "k", empty).compared
    assert item.verdict is ReconciliationVerdict.LEDGER_ONLY
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
        assert reconciliation.accept(tx, account="k", source="list", task_id=task_id, why="known")
    assert status(pipeline).accounts[0].committed == 2
    reconcile(pipeline, "k", empty)
    assert status(pipeline).disagreements == ()


def test_a_billed_charge_is_not_returned_by_acknowledging_another_statement(
    paid_home: tuple[EngineHome, Pipeline, JumpClock],
) -> None:
    _, pipeline, _ = paid_home
    reconcile(pipeline, "k", statement_with(pipeline, "billing", "2"))
    with pipeline.ledger.read() as connection:
        (row,) = reconciliation_queries.attempts_of_account(connection, "k")
    assert row.task_id is not None
    gap = reconciliation.ReconciliationItem(
        task_id=row.task_id,
        verdict=ReconciliationVerdict.LEDGER_ONLY,
        attempt_id=row.attempt_id,
        unit="kling-unit",
        ledger_micros=2 * UNIT,
        upstream_micros=None,
    )
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
        reconciliation.record(tx, account="k", source="invoice", compared=[gap])
        assert reconciliation.accept(tx, account="k", source="invoice", task_id=row.task_id, why="known")
    assert status(pipeline).accounts[0].committed == 2


def test_an_invoice_of_another_account_proves_nothing_of_ours(
    paid_home: tuple[EngineHome, Pipeline, JumpClock],
) -> None:
    _, pipeline, _ = paid_home
    foreign = Statement(
        name="invoice", lines={"1": StatementLine("1", 0)}, from_ms=0, to_ms=pipeline.now_ms() + DAY_MS, complete=True
    )
    result = reconcile(pipeline, "k", foreign)
    assert not result.complete
    assert result.disagreements == ()


@pytest.mark.parametrize(("hours", "inside"), [(-1, False), (35, False), (37, True), (683, True), (685, False)])
def test_an_invoices_first_and_last_day_may_be_cut_and_of_another_zone(hours: int, inside: bool) -> None:
    """The invoice has November's days: a time within a day and a half of either end may be on its other side."""
    hour = 3_600_000
    november = Invoice(
        (InvoiceRow("1", UNIT, 0, 1), InvoiceRow("2", UNIT, 30 * DAY_MS, 2)), 10 * DAY_MS, 40 * DAY_MS, ()
    )
    statement = invoice_statement(november, now_ms=50 * DAY_MS)
    slip = invoice_statement(november, now_ms=38 * DAY_MS)
    assert (statement.complete, slip.complete) == (True, False)  # a day in the future is none
    assert 36 * hour == EDGE_MS
    assert (statement.from_ms <= 10 * DAY_MS + hours * hour < statement.to_ms) is inside


@pytest.mark.parametrize(
    ("amount", "matches"),
    [
        ("0.02", True),
        ("0.0245", True),
        ("0.024", True),
        ("0.03", False),
        ("0.049", False),
        ("0", False),
    ],
)
def test_an_amount_that_an_invoice_has_rounded_is_what_was_booked(amount: str, matches: bool) -> None:
    """Seven tenths of a credit at 0.035 USD are 0.0245 USD."""
    known = {
        "attempt_id": "a",
        "task_id": "1",
        "state": AttemptState.STORED,
        "unit": "credit",
        "booked_micros": to_micros("0.7"),
        "settled_micros": to_micros("0.7"),
        "sending_at": 0,
        "completed_at": 0,
        "unit_price_micros": to_micros("0.035"),
    }
    attempt = ChargedAttempt(**{**dict.fromkeys(ChargedAttempt.__slots__), **known})
    lines = {"1": StatementLine("1", 999, amount_micros=to_micros(amount))}
    invoice = Statement(name="invoice", lines=lines, from_ms=0, to_ms=0, complete=False)
    comparison = compare_books(invoice, [attempt], unit="credit")
    assert (comparison.to_book == {}) is matches


def test_a_list_with_shorter_pages_than_requested_is_read_to_its_end(home: EngineHome) -> None:
    home.seeded(5)

    def capped(account: Account, *, settings: Settings) -> Provider:
        real = impatient_provider(account, settings=settings)
        whole = real.list_page

        def page(number: int, _size: int) -> PageOutcome:
            return whole(number, 2)

        real.list_page = page  # type: ignore[method-assign]
        return real

    with home.open(JumpClock(), make_provider=capped) as pipeline:
        drive(pipeline)
        listed = next(iter(read_statements(pipeline, "k", pause=lambda _: None)))
        assert isinstance(listed, ProviderStatement)
        assert len(listed.statement.lines) == 5
        assert listed.statement.complete


def test_a_list_that_repeats_its_first_page_is_incomplete(home: EngineHome) -> None:
    home.seeded(3)

    def stuck(account: Account, *, settings: Settings) -> Provider:
        real = impatient_provider(account, settings=settings)
        whole = real.list_page
        real.list_page = lambda _number, _size: whole(1, 2)  # type: ignore[method-assign]
        return real

    with home.open(JumpClock(), make_provider=stuck) as pipeline:
        drive(pipeline)
        listed = next(iter(read_statements(pipeline, "k", pause=lambda _: None)))
        assert isinstance(listed, ProviderStatement)
        assert not listed.statement.complete


def test_fifty_thousand_tasks_are_compared_in_seconds(
    paid_home: tuple[EngineHome, Pipeline, JumpClock], capsys: pytest.CaptureFixture[str]
) -> None:
    _, pipeline, _ = paid_home
    many = 50_000
    _insert_finished(pipeline, many)
    now_ms = pipeline.now_ms()
    lines = {f"t{number}": StatementLine(f"t{number}", 2 * UNIT) for number in range(many)}
    took = []
    for _ in range(2):
        began = time.perf_counter()
        result = reconcile(
            pipeline, "k", Statement(name="list", lines=lines, from_ms=now_ms, to_ms=now_ms, complete=True)
        )
        took.append(time.perf_counter() - began)
        assert len(result.compared) == many
        assert result.disagreements == ()
    with capsys.disabled():
        print(f"50,000 tasks: {took[0]:.1f} s the first time, {took[1]:.1f} s when nothing is new")
    assert max(took) < 30  # some seconds on a quiet machine


def test_a_second_comparison_changes_nothing(paid_home: tuple[EngineHome, Pipeline, JumpClock]) -> None:
    """A statement that is compared twice changes nothing the second time, with any amount."""
    _, pipeline, _ = paid_home
    for name in ("list", "billing", "invoice"):
        for units in ("0", "1", "2", "3.5", "-1"):
            reconcile(pipeline, "k", statement_with(pipeline, name, units))
            again = _compare(pipeline, statement_with(pipeline, name, units))
            assert again.to_book == {}


def _compare(pipeline: Pipeline, statement: Statement) -> Comparison:
    with pipeline.ledger.read() as connection:
        rows = reconciliation_queries.attempts_of_account(connection, "k")
    return compare_books(statement, rows, unit="kling-unit")


def _insert_finished(pipeline: Pipeline, count: int) -> None:
    """Insert finished attempts like the existing one in one write, because a claim for each would take minutes."""
    table, charges = tables.attempts, tables.charges
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="test") as tx:
        row = dict(tx.connection.execute(select(table)).mappings().one())
        charge = dict(tx.connection.execute(select(charges).where(charges.c.entry == "settle")).mappings().one())
        attempts = [
            {**row, "attempt_id": f"a{n}", "video_key": f"w{n}", "task_id": f"t{n}", "external_task_id": f"e{n}"}
            for n in range(count)
        ]
        booked = [{**charge, "charge_id": f"c{n}", "attempt_id": f"a{n}"} for n in range(count)]
        tx.connection.execute(insert(table), attempts)
        tx.connection.execute(insert(charges), booked)
