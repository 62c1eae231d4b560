"""Read Kling's bills (docs/upstream/kling.md, "Bills"): the deductions by task.

One bill lists deductions from packs, another those from the account's balance; their pages have the same form. All
routes are read-only, allow one request per second, and are up to 12 h late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.kling.billing_parse import BilledTask, parse_billing_page
from extend_pipeline.providers.kling.parse import PAGE_CAP
from extend_pipeline.providers.protocol import Answer, Provider, QueryFailed, QueryFault
from extend_pipeline.providers.spec import Bill

if TYPE_CHECKING:
    from extend_pipeline.providers.wire.api_client import ApiClient  # loads httpx

BILL_PATH: Final = "/account/billing/package"  # without the /v1 of the other routes
BALANCE_PATH: Final = "/account/billing/balance"
MAX_ROWS: Final = 500
MAX_PAGES: Final = 200  # 100,000 deductions; for more, query shorter periods
_INTERVAL_S: Final = 1.1  # one request per second, with a margin for the server's clock
_ONCE: Final = RetryPolicy(attempts=1)  # for a page of a bill; only a request with a refused token is repeated


@dataclass(frozen=True, slots=True)
class Deductions:
    """All deductions of a period. `malformed` counts rows that could not be parsed."""

    rows: tuple[BilledTask, ...]
    malformed: int
    pages: int


def read_bill(provider: Provider, since_ms: int, until_ms: int, pause: Callable[[float], None]) -> Bill | QueryFailed:
    """Return what the tasks created in a period (UTC ms, without its end) were charged from packs, and which of them
    were charged to the balance, in money. `pause` waits the given seconds before every request except the first."""
    packs = read_deductions(provider.client, BILL_PATH, since_ms, until_ms, pause)
    if isinstance(packs, QueryFailed):
        return packs
    micros: dict[str, int] = defaultdict(int)
    for row in packs.rows:
        micros[row.task_id] += row.units_micros
    pause(_INTERVAL_S)
    balance = read_deductions(provider.client, BALANCE_PATH, since_ms, until_ms, pause)
    paid_otherwise = None
    if not isinstance(balance, QueryFailed) and not balance.malformed:
        paid_otherwise = frozenset(row.task_id for row in balance.rows)
    return Bill(micros, paid_otherwise, whole=not packs.malformed)


def read_deductions(
    client: ApiClient,
    path: str,
    since_ms: int,
    until_ms: int,
    pause: Callable[[float], None],
    *,
    page_rows: int = MAX_ROWS,
    max_pages: int = MAX_PAGES,
) -> Deductions | QueryFailed:
    """Return every deduction for the tasks created in a period (UTC ms, without its end).

    If one page fails, or the bill is longer than `max_pages`, the whole query fails, because a task that is missing in
    a part of a bill may be in the rest. Raises ValueError for a period that ends before it begins and outside
    1 ≤ page_rows ≤ 500.
    """
    if not 0 <= since_ms < until_ms:
        raise ValueError(f"a period from {since_ms} to {until_ms} ms is empty")
    if not 1 <= page_rows <= MAX_ROWS:
        raise ValueError(f"{page_rows} rows: Kling's bills have pages of 1-{MAX_ROWS}")
    body: dict[str, object] = {"start_time": since_ms, "end_time": until_ms, "limit": page_rows}
    rows: list[BilledTask] = []
    malformed, cursors = 0, set[str]()
    for number in range(1, max_pages + 1):
        if number > 1:
            pause(_INTERVAL_S)
        page = client.query(path, parse_billing_page, body=body, body_cap=PAGE_CAP, retry=_ONCE)
        if isinstance(page, QueryFailed):
            return page
        rows += page.rows
        malformed += page.malformed
        cursor = page.next_cursor
        if cursor is None:
            return Deductions(tuple(rows), malformed, number)
        if cursor in cursors:
            return _malformed("the bill's pages repeat; try again later")
        cursors.add(cursor)
        body = {"cursor": cursor}
    return _malformed(f"the bill has more than {max_pages} pages; query a shorter period")


def _malformed(message: str) -> QueryFailed:
    return QueryFailed(QueryFault.MALFORMED, Answer(message))
