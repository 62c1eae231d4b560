"""Reconciling is killed, and done by several at once: every amount is booked once, every task adopted once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from extend_pipeline.base import failpoints
from extend_pipeline.base.units import to_micros
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import ADOPTED
from extend_pipeline_tests.engine.reconcile.comparing import SECOND_DAY_MS, WITHOUT_AMOUNTS
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive, eventually
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.processes.children import CONTEXT, Child, write_to

FOREIGN_TASKS = 3


def reconciling_child(home: EngineHome, clock: JumpClock, number: int, *, points: str = "") -> Child:
    """Start a process that reconciles every account of a home once; its exit code is 0 if it was not interrupted."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("ENGINE_TEST", "EXTEND_"))}
    output = home.path / f"child-{number}.txt"
    settings = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    arguments = (settings, str(output), environment | {failpoints.ENVIRONMENT: points}, clock.skipped_ms)
    process = CONTEXT.Process(target=_reconcile, args=arguments, daemon=True)
    process.start()
    return Child(process, output)


def _reconcile(settings: dict[str, Any], output: str, environment: dict[str, str], skipped_ms: int) -> None:
    from extend_pipeline.config.settings import Settings
    from extend_pipeline.engine.home import open_home
    from extend_pipeline.engine.reconcile.run_all import reconcile_everything

    write_to(output)
    os.environ.update(environment)
    failpoints.arm_from_environment()
    with open_home(Settings(**settings), now_ms=JumpClock(skipped_ms)) as pipeline:
        for _ in reconcile_everything(pipeline, pause=lambda _: None):
            pass


@pytest.fixture
def disturbed(
    ledger_url: str, make_home: Callable[..., EngineHome]
) -> Iterator[tuple[EngineHome, Pipeline, JumpClock]]:
    """Yield an open home whose bill has one other amount, and whose account has three tasks of other customers."""
    home = make_home(billing_delay=0, billing_interval=0, ledger_url=ledger_url)
    home.account = {"adopt_orphans": "all"}
    home.seeded(2)
    home.sandbox.faults(
        [
            {"kind": "odd_deduction", "where": "submit", "units": "3.5"},
            *WITHOUT_AMOUNTS,
        ]
    )
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        home.sandbox.clear_faults()
        clock.skip(SECOND_DAY_MS)
        for _ in range(FOREIGN_TASKS):
            home.sandbox.foreign_task()
        yield home, pipeline, clock


def assert_booked_once(home: EngineHome, pipeline: Pipeline, folder: Path) -> None:
    """Assert that everything is booked once, and fetched."""
    drive(pipeline)
    table, attempts = tables.charges, tables.attempts
    with pipeline.ledger.read() as connection:
        adjusted = list(connection.execute(select(table.c.micros).where(table.c.entry == "adjust")).scalars())
        adopted = select(attempts.c.state).where(attempts.c.chain_digest == ADOPTED)
        states = list(connection.execute(adopted).scalars())
        rows = select(func.count()).select_from(tables.reconciliations)
        assert connection.execute(rows).scalar_one() >= 2 + FOREIGN_TASKS
    assert adjusted == [to_micros(Decimal("1.5"))]
    assert states == ["stored"] * FOREIGN_TASKS
    assert status(pipeline).accounts[0].committed == Decimal(home.sandbox.charges()["total_units"])
    assert check_invariants(pipeline.ledger) == []
    replays_to_the_same(pipeline.ledger, folder)


@pytest.mark.parametrize("hit", [1, 2])
@pytest.mark.parametrize("point", ["reconcile.before_write", "reconcile.after_write"])
def test_a_kill_costs_a_comparison_and_books_nothing_twice(
    point: str, hit: int, disturbed: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    home, pipeline, clock = disturbed
    killed = reconciling_child(home, clock, 0, points=f"{point}=kill@{hit}")  # of the list, of the bill
    assert killed.wait() == -signal.SIGKILL, killed.output_text
    assert check_invariants(pipeline.ledger) == []
    again = reconciling_child(home, clock, 1)
    assert again.wait() == 0, again.output_text
    assert_booked_once(home, pipeline, tmp_path)


def test_three_at_once_book_and_adopt_what_one_would(
    disturbed: tuple[EngineHome, Pipeline, JumpClock], tmp_path: Path
) -> None:
    home, pipeline, clock = disturbed
    # all have read what they compare before the first of them may write
    children = [reconciling_child(home, clock, n, points="reconcile.before_write=pause") for n in range(3)]
    for child in children:
        eventually(lambda child=child: child.is_stopped or not child.process.is_alive())
        assert child.process.is_alive(), child.output_text
    for child in children:
        child.go_on()
    assert [child.wait() for child in children] == [0, 0, 0], [child.output_text for child in children]
    assert_booked_once(home, pipeline, tmp_path)
