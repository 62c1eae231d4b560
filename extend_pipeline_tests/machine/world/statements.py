"""Import the providers' statements: Kling's list and bill, and true invoices of the others."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_account, reconcile_invoice
from extend_pipeline_tests.machine.world.world import World


def reconcile_kling(pipeline: Pipeline) -> None:
    """Compare Kling's account with its list and its bill; a book that can't be read is one that wasn't compared."""
    for _ in reconcile_account(pipeline, "kling", pause=lambda _: None):
        pass


def compare_invoice(world: World, pipeline: Pipeline, name: str) -> None:
    """Save the account's true bill as the operator would, and compare."""
    rows = [
        (charge["task_id"], charge["units"], datetime.fromtimestamp(charge["at"] / 1000, UTC).isoformat())
        for charge in world.home.sandbox.charges()["charges"]
        if charge["account"] == name and not charge["refunded"]
    ]
    if not rows:
        return
    path = world.folder / "bill.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("task_id", "units", "date"), *rows])
    outcome = reconcile_invoice(pipeline, name, path)
    assert isinstance(outcome, Reconciled), outcome
