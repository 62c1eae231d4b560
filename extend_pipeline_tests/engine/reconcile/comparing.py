"""Compare an account with its provider's statements, and count what came of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Row, select

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_account
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import ADOPTED
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome

# orders to the sandbox: no response has the amount of a charge, so that the prediction is booked
WITHOUT_AMOUNTS = tuple({"kind": "no_unit_deduction", "where": where, "times": 50} for where in ("query", "list"))
SECOND_DAY_MS = DAY_MS + 7_200_000  # by then a bill holds what was charged on the first


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
    """Return the attempts of adopted tasks."""
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(table).where(table.c.chain_digest == ADOPTED)))
