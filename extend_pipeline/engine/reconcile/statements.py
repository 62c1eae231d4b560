"""Read the providers' statements: the list and the bill that can be asked for, and invoices that were saved as CSV."""

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
LATE_MS: Final = DAY_MS  # a bill is 12 h late; twice that is safe
CLOCKS_MS: Final = HOUR_MS  # tolerated: the provider dates a task before its claim
EDGE_MS: Final = 36 * HOUR_MS  # an invoice's first and last day may be cut, and be days of another zone (-12 to +14 h)
MAX_OLD_PAGES: Final = 3  # pages in a row without a new task: the server ignores the page number


@dataclass(frozen=True, slots=True)
class ProviderStatement:
    """A statement, with the tasks that it showed in full."""

    statement: Statement
    views: Mapping[str, TaskView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatementUnavailable:
    """A statement that was not read, so that nothing was compared. `message` gives the reason and what to do. `failed`
    is False where the provider offers none that could be requested."""

    account: str
    source: str
    message: str
    failed: bool = True


def read_statements(
    pipeline: Pipeline, account: str, *, pause: Callable[[float], None]
) -> Iterator[ProviderStatement | StatementUnavailable]:
    """Yield every statement that an account's provider offers, from the account's first claim on. `pause` waits a
    number of seconds, since bills may allow one request a second."""
    with pipeline.ledger.read() as connection:
        first = reconciliation_queries.first_claim(connection, account)
    if first is None:
        return  # nothing of ours can be in them
    now_ms = pipeline.now_ms()
    spec = spec_of(pipeline.accounts[account].provider)
    since = max(first - CLOCKS_MS, now_ms - spec.result_life_ms)
    if since >= now_ms:
        yield StatementUnavailable(
            account, "list", f"account {account} was first claimed for after now: check the clock"
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
            f"account {account} has no statement that can be requested; save its bill: {hint}",
            failed=False,
        )


def invoice_statement(invoice: Invoice, *, now_ms: int, since_ms: int = 0) -> Statement:
    """Return an invoice as a statement. It is taken to be complete from a day and a half after its first line to a day
    and a half before its last one. It is not complete where lines have no dates or one lies in the future, because then
    other dates may be wrong too. `since_ms` is the account's first claim (UTC ms)."""
    lines = {
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
        lines=lines,
        from_ms=(invoice.first_ms or 0) + EDGE_MS,
        to_ms=(invoice.last_ms or 0) - EDGE_MS,
        complete=dated and possible and invoice.whole,
    )


def _list(account: str, provider: Provider, since: int, now_ms: int) -> ProviderStatement | StatementUnavailable:
    """Read all pages up to one without rows, because their order is not documented and a server may return fewer rows
    than requested. New tasks shift the pages meanwhile, so a task that is seen twice counts once."""
    views: dict[str, TaskView] = {}
    malformed, old_pages = 0, 0
    for number in range(1, MAX_PAGES + 1):
        page = provider.list_page(number, provider.list_page_size)
        if isinstance(page, QueryFailed):
            return StatementUnavailable(
                account, "list", f"page {number} of the task list could not be read: {page.answer.message}"
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
        malformed += 1  # there may be more pages than are read
    ended = (TaskState.SUCCEEDED, TaskState.FAILED)
    lines = {
        view.task_id: StatementLine(view.task_id, view.units_micros, view.state in ended)
        for view in views.values()
        if view.created_ms is None or view.created_ms >= since
    }
    from_ms = since + CLOCKS_MS  # a margin, since the provider's clock dates its tasks
    return ProviderStatement(
        Statement(name="list", lines=lines, from_ms=from_ms, to_ms=now_ms, complete=not malformed), views
    )


def _bill(
    account: str, read: ReadBill, provider: Provider, since: int, now_ms: int, pause: Callable[[float], None]
) -> ProviderStatement | StatementUnavailable:
    bill = read(provider, since, now_ms, pause)
    if isinstance(bill, QueryFailed):
        return StatementUnavailable(account, "billing", f"the bill could not be read: {bill.answer.message}")
    lines = {
        task_id: StatementLine(task_id, micros) for task_id, micros in bill.micros.items() if abs(micros) <= MAX_MICROS
    }
    whole = bill.whole and bill.paid_otherwise is not None and len(lines) == len(bill.micros)
    # paid in money, perhaps for a part of the task only, so that the units are not known
    lines |= {task: StatementLine(task, None, note="paid from the balance") for task in bill.paid_otherwise or ()}
    from_ms, to_ms = since + CLOCKS_MS, max(since, now_ms - LATE_MS)
    return ProviderStatement(Statement(name="billing", lines=lines, from_ms=from_ms, to_ms=to_ms, complete=whole))
