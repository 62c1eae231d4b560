"""The machine in the suite: a fixed set of examples, the same on every run, and what really happened in them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from extend_pipeline_tests.machine.counters import Counters
from extend_pipeline_tests.machine.rules.machine import Machine
from extend_pipeline_tests.machine.world.world import WorldFactory
from extend_pipeline_tests.support.servers.postgres import PostgresServer

_SEED = 1  # named, because otherwise the examples would follow from the names of the rules
_FIXED = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


_FLOORS = {
    "steps": 400,
    "charges": 60,
    "crash at ": 8,
    "stopped before": 4,
    "fault ": 10,
    "became in_doubt": 10,
    "became stored": 40,
    "callback, ": 20,
    "decision: ": 40,
    "jump of the clock": 5,
    "change: ": 2,
    "work: invoice": 5,
    "foreign task": 3,
}


@pytest.mark.timeout(600)
def test_everything_holds_after_every_step(tmp_path: Path) -> None:
    counters = Counters()

    class OnSqlite(Machine):
        factory = WorldFactory(tmp_path / "factory", counters)

    seed(_SEED)(OnSqlite)
    run_state_machine_as_test(OnSqlite, settings=settings(_FIXED, max_examples=12, stateful_step_count=50))
    print(counters.table())
    assert counters.below(_FLOORS) == []


@pytest.mark.timeout(600)
def test_everything_holds_on_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    counters = Counters()
    names = (postgres.new_ledger(f"machine_{number}") for number in itertools.count())

    class OnPostgres(Machine):
        factory = WorldFactory(tmp_path / "factory", counters, names)

    seed(_SEED)(OnPostgres)
    run_state_machine_as_test(OnPostgres, settings=settings(_FIXED, max_examples=3, stateful_step_count=30))
    print(counters.table())
    assert counters.below({"steps": 60, "charges": 6, "became stored": 3}) == []
