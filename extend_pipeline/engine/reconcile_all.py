"""Reconciles accounts with every book that their providers show, or with an invoice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from extend_pipeline.engine.books import CLOCKS_MS, Unread, books_of, invoice_book
from extend_pipeline.engine.invoice import InvoiceProblems, read_invoice
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.engine.reconcile import Reconciled, reconcile
from extend_pipeline.ledger import book_reads


def reconcile_account(
    pipeline: Pipeline, account: str, *, adopt: bool = True, pause: Callable[[float], None] = time.sleep
) -> Iterator[Reconciled | Unread]:
    """Compare one account with each book that its provider shows. `pause` waits so many seconds between questions."""
    for read in books_of(pipeline, account, pause=pause):
        if isinstance(read, Unread):
            yield read
        else:
            yield reconcile(pipeline, account, read.book, seen=read.views, adopt=adopt)


def reconcile_invoice(
    pipeline: Pipeline, account: str, invoice: Path, *, adopt: bool = True
) -> Reconciled | InvoiceProblems:
    """Compare one account with a bill that somebody saved as CSV; InvoiceProblems where it can't be read, and then
    nothing was compared."""
    read = read_invoice(invoice, account=pipeline.accounts[account])
    if isinstance(read, InvoiceProblems):
        return read
    with pipeline.ledger.read() as connection:
        first = book_reads.first_claim(connection, account)
    if first is None:
        unit, note = pipeline.accounts[account].price.unit, "it was never claimed for, so that nothing in it is ours"
        return Reconciled(account, "invoice", unit, (), (), 0, complete=False, notes=(*read.notes, note))
    book = invoice_book(read, since_ms=first - CLOCKS_MS)
    return replace(reconcile(pipeline, account, book, adopt=adopt), notes=read.notes)


def reconcile_everything(
    pipeline: Pipeline, *, adopt: bool = True, pause: Callable[[float], None] = time.sleep
) -> Iterator[Reconciled | Unread]:
    """Compare every account that was ever claimed for."""
    with pipeline.ledger.read() as connection:
        used = [name for name in pipeline.accounts if book_reads.first_claim(connection, name) is not None]
    for name in used:
        yield from reconcile_account(pipeline, name, adopt=adopt, pause=pause)
