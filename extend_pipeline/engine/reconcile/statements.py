"""Read the providers' statements: the list and the bill that can be asked for, and invoices that were saved as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.reconcile.compare import Statement, StatementLine
from extend_pipeline.engine.reconcile.invoice.read import Invoice
from extend_pipeline.engine.reconcile.invoice.rows import MAX_MICROS
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.providers.protocol import Provider, QueryFailed, TaskState, TaskView
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.providers.spec import ReadBill

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MAX_PAGES: Final = 1_000  # see docs/upstream/kling.md, "List"
LATE_MS: Final = DAY_MS  # a bill is 12 h late; twice that is surely there
CLOCKS_MS: Final = HOUR_MS  # a task may be dated earlier upstream than its claim is here
EDGE_MS: Final = 36 * HOUR_MS  # an invoice's first and last day may be cut, and be days of another zone (-12 to +14 h)
MAX_OLD_PAGES: Final = 3  # pages in a row that show nothing new: the server doesn't turn them


@dataclass(frozen=True, slots=True)
class ProviderStatement:
    """A book, with the tasks that it showed in full."""

    book: Statement
    views: Mapping[str, TaskView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatementUnavailable:
    """A book that was not read; nothing was compared. `message` says why and what to do. `failed` is False where the
    provider keeps none that could be asked for."""

    account: str
    source: str
    message: str
    failed: bool = True


def read_statements(
    pipeline: Pipeline, account: str, *, pause: Callable[[float], None]
) -> Iterator[ProviderStatement | StatementUnavailable]:
    """Yield every book that an account's provider keeps and shows, from the account's first claim on. `pause` waits so
    many seconds, since bills may allow one request a second."""
    with pipeline.ledger.read() as connection:
        first = reconciliation_queries.first_claim(connection, account)
    if first is None:
        return  # nothing of ours can be in them
    now_ms = pipeline.now_ms()
    spec = spec_of(pipeline.accounts[account].provider)
    since = max(first - CLOCKS_MS, now_ms - spec.result_life_ms)
    if since >= now_ms:
        yield StatementUnavailable(
            account, "list", f"account {account} was first claimed for after now: look at the clock"
        )
        return
    provider = pipeline.provider(account)
    if spec.has_list:
        yield _list(account, provider, since, now_ms)
    if spec.bill is not None:
        yield _bill(account, spec.bill, provider, since, now_ms, pause)
    if not spec.has_list:
        hint = f"extend-pipeline reconcile {account} --invoice FILE"
        yield StatementUnavailable(
            account,
            "invoice",
            f"account {account} has no book that can be asked for; save its bill: {hint}",
            failed=False,
        )


def invoice_statement(invoice: Invoice, *, now_ms: int, since_ms: int = 0) -> Statement:
    """Return an invoice as a book. It is held to be whole from a day and a half after its first line to as long before
    its last, where those have dates that can be: one that is still to come is a slip, and its others may be too.
    `since_ms` is the account's first claim."""
    shown = {
        row.task_id: StatementLine(
            row.task_id,
            row.units_micros,
            early=row.at_ms is not None and row.at_ms < since_ms - EDGE_MS,
            amount_micros=row.amount_micros,
        )
        for row in invoice.rows
    }
    dated = invoice.first_ms is not None and invoice.last_ms is not None
    possible = invoice.last_ms is None or invoice.last_ms <= now_ms + EDGE_MS
    return Statement(
        name="invoice",
        shown=shown,
        from_ms=(invoice.first_ms or 0) + EDGE_MS,
        to_ms=(invoice.last_ms or 0) - EDGE_MS,
        complete=dated and possible and invoice.whole,
    )


def _list(account: str, provider: Provider, since: int, now_ms: int) -> ProviderStatement | StatementUnavailable:
    """Return all pages, since their order is not documented, up to one without rows: a server may give less than it is
    asked for. New tasks shift pages while one reads: what is seen twice is one task."""
    views: dict[str, TaskView] = {}
    malformed, old_pages = 0, 0
    for number in range(1, MAX_PAGES + 1):
        page = provider.list_page(number, provider.list_page_size)
        if isinstance(page, QueryFailed):
            return StatementUnavailable(
                account, "list", f"page {number} of the task list was not answered: {page.answer.message}"
            )
        if not page.rows:
            break
        old_pages = old_pages + 1 if all(view.task_id in views for view in page.views) else 0
        views.update({view.task_id: view for view in page.views})
        malformed += page.malformed
        if old_pages >= MAX_OLD_PAGES:
            malformed += 1
            break
    else:
        malformed += 1  # there may be more than can be asked for
    ended = (TaskState.SUCCEEDED, TaskState.FAILED)
    shown = {
        view.task_id: StatementLine(view.task_id, view.units_micros, view.state in ended)
        for view in views.values()
        if view.created_ms is None or view.created_ms >= since
    }
    from_ms = since + CLOCKS_MS  # the provider's clock decides what is just within
    return ProviderStatement(
        Statement(name="list", shown=shown, from_ms=from_ms, to_ms=now_ms, complete=not malformed), views
    )


def _bill(
    account: str, read: ReadBill, provider: Provider, since: int, now_ms: int, pause: Callable[[float], None]
) -> ProviderStatement | StatementUnavailable:
    bill = read(provider, since, now_ms, pause=pause)
    if isinstance(bill, QueryFailed):
        return StatementUnavailable(account, "billing", f"the bill was not answered: {bill.answer.message}")
    shown = {
        task_id: StatementLine(task_id, micros) for task_id, micros in bill.micros.items() if abs(micros) <= MAX_MICROS
    }
    whole = bill.whole and bill.paid_otherwise is not None and len(shown) == len(bill.micros)
    # money, and perhaps for a part of the task only: no number of units
    shown |= {task: StatementLine(task, None, note="paid from the balance") for task in bill.paid_otherwise or ()}
    from_ms, to_ms = since + CLOCKS_MS, max(since, now_ms - LATE_MS)
    return ProviderStatement(Statement(name="billing", shown=shown, from_ms=from_ms, to_ms=to_ms, complete=whole))
