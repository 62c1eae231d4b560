"""Reconcile accounts with every statement that their providers offer, or with an invoice."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from extend_pipeline.config.issues import ConfigIssue
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.invoice.read import Invoice, InvoiceProblems, read_invoice
from extend_pipeline.engine.reconcile.run import Reconciled, reconcile
from extend_pipeline.engine.reconcile.statements import (
    CLOCKS_MS,
    StatementUnavailable,
    invoice_statement,
    read_statements,
)
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.read.reconciliation_queries import ChargedAttempt
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import statements
from extend_pipeline.providers.protocol import TaskView

MAX_UNKNOWN: Final = 20  # tasks of an invoice that may all be lost tasks of ours; more belong to another account


def reconcile_account(
    pipeline: Pipeline, account: str, *, adopt: bool = True, pause: Callable[[float], None] = time.sleep
) -> Iterator[Reconciled | StatementUnavailable]:
    """Compare one account with each statement that its provider offers. `pause` waits a number of seconds between
    requests."""
    seen: dict[str, TaskView] = {}  # tasks that the list shows in full need no GET for the bill
    for read in read_statements(pipeline, account, pause=pause):
        if isinstance(read, StatementUnavailable):
            if read.failed:
                with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                    statements.record_unavailable(tx, account=account, source=read.source, message=read.message)
            yield read
        else:
            seen.update(read.views)
            yield reconcile(pipeline, account, read.statement, seen=seen, adopt=adopt)


def reconcile_invoice(
    pipeline: Pipeline, account: str, invoice: Path, *, adopt: bool = True
) -> Reconciled | InvoiceProblems:
    """Compare one account with a bill that was saved as CSV. Return InvoiceProblems, with nothing compared, where it
    can't be read."""
    read = read_invoice(invoice, account=pipeline.accounts[account])
    if isinstance(read, InvoiceProblems):
        return read
    with pipeline.ledger.read() as connection:
        first = reconciliation_queries.first_claim(connection, account)
        if first is None:
            notes = (*read.notes, "the account was never claimed for, so nothing in it is ours")
            unit = pipeline.accounts[account].price.unit
            return Reconciled(account, "invoice", unit, (), (), 0, complete=False, notes=notes)
        attempts = reconciliation_queries.attempts_of_account(connection, account)
    if len(read.rows) > MAX_UNKNOWN and not _may_be_ours(read, attempts):
        message = f"none of its {len(read.rows)} tasks is one that account {account} has here"
        hint = f"Is it the invoice of another account than {account}?"
        return InvoiceProblems((ConfigIssue(invoice.name, None, message, hint),))
    statement = invoice_statement(read, now_ms=pipeline.now_ms(), since_ms=first - CLOCKS_MS)
    return replace(reconcile(pipeline, account, statement, adopt=adopt), notes=read.notes)


def _may_be_ours(invoice: Invoice, attempts: Sequence[ChargedAttempt]) -> bool:
    """Return whether an invoice shows a task of ours, or may show one, since an attempt was sent and never found."""
    if any(row.task_id is None and row.state not in (S.RELEASED, S.REJECTED) for row in attempts):
        return True
    held = {row.task_id for row in attempts}
    return any(row.task_id in held for row in invoice.rows)


def reconcile_everything(
    pipeline: Pipeline, *, adopt: bool = True, pause: Callable[[float], None] = time.sleep
) -> Iterator[Reconciled | StatementUnavailable]:
    """Compare every account that has a claim."""
    with pipeline.ledger.read() as connection:
        used = [name for name in pipeline.accounts if reconciliation_queries.first_claim(connection, name) is not None]
    for name in used:
        yield from reconcile_account(pipeline, name, adopt=adopt, pause=pause)
