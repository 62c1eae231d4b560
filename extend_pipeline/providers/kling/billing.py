"""Read Kling's bills (docs/upstream/kling.md, "Bills"): the deductions by task.

One bill lists deductions from packs, another those from the account's balance; their pages have the same form. All
routes are read-only, allow one request per second, and are up to 12 h late.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.kling.billing_parse import (
    BilledTask,
    BillingPage,
    parse_billing_page,
)
from extend_pipeline.providers.kling.provider import PAGE_CAP, KlingProvider
from extend_pipeline.providers.protocol import Answer, QueryFailed, QueryFault

BILL_PATH: Final = "/account/billing/package"  # without the /v1 of the other routes
BALANCE_PATH: Final = "/account/billing/balance"
MAX_ROWS: Final = 500
MAX_PAGES: Final = 200  # 100,000 deductions; for more, query shorter periods
_INTERVAL_S: Final = 1.1  # one request per second, with a margin for the server's clock
_ONCE: Final = RetryPolicy(attempts=1)  # for a page of a bill; only a request with a refused token is repeated


@dataclass(frozen=True, slots=True)
class Bill:
    """All deductions of a period. `malformed` counts rows that could not be parsed."""

    rows: tuple[BilledTask, ...]
    malformed: int
    pages: int


class KlingBilling:
    """Reads the bills of one Kling account, with its provider's connections and credentials. Not thread-safe.

    `pause` waits the given seconds before every request except the first.
    """

    def __init__(self, provider: KlingProvider, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._client, self._pause = provider.client, pause
        self._requested = False

    def bill(
        self, since_ms: int, until_ms: int, *, page_rows: int = MAX_ROWS, max_pages: int = MAX_PAGES
    ) -> Bill | QueryFailed:
        """Return every deduction from packs for the tasks created in a period (UTC ms, without its end).

        If one page fails, or the bill is longer than `max_pages`, the whole query fails, because a task that is missing
        in a part of a bill may be in the rest. Raises ValueError for a period that ends before it begins and outside
        1 ≤ page_rows ≤ 500.
        """
        return self._all_pages(BILL_PATH, since_ms, until_ms, page_rows, max_pages)

    def paid_from_balance(self, since_ms: int, until_ms: int) -> frozenset[str] | QueryFailed:
        """Return the tasks of a period that were charged to the balance, in money instead of units. Fails like `bill`,
        and also if a row can't be parsed."""
        bill = self._all_pages(BALANCE_PATH, since_ms, until_ms, MAX_ROWS, MAX_PAGES)
        if isinstance(bill, QueryFailed):
            return bill
        if bill.malformed:
            return _malformed(f"{bill.malformed} rows of the balance's bill can't be read")
        return frozenset(row.task_id for row in bill.rows)

    def _all_pages(self, path: str, since_ms: int, until_ms: int, page_rows: int, max_pages: int) -> Bill | QueryFailed:
        _check(since_ms, until_ms)
        if not 1 <= page_rows <= MAX_ROWS:
            raise ValueError(f"{page_rows} rows: Kling's bills have pages of 1-{MAX_ROWS}")
        body: dict[str, object] = {"start_time": since_ms, "end_time": until_ms, "limit": page_rows}
        rows: list[BilledTask] = []
        malformed, cursors = 0, set[str]()
        for number in range(1, max_pages + 1):
            page = self._page(path, body)
            if isinstance(page, QueryFailed):
                return page
            rows += page.rows
            malformed += page.malformed
            cursor = page.next_cursor
            if cursor is None:
                return Bill(tuple(rows), malformed, number)
            if cursor in cursors:
                return _malformed("the bill's pages repeat; try again later")
            cursors.add(cursor)
            body = {"cursor": cursor}
        return _malformed(f"the bill has more than {max_pages} pages; query a shorter period")

    def _page(self, path: str, body: Mapping[str, object]) -> BillingPage | QueryFailed:
        self._wait_for_rate_limit()
        return self._client.query_via_post(path, body, parse_billing_page, body_cap=PAGE_CAP, retry=_ONCE)

    def _wait_for_rate_limit(self) -> None:
        if self._requested:
            self._pause(_INTERVAL_S)
        self._requested = True


def _check(since_ms: int, until_ms: int) -> None:
    if not 0 <= since_ms < until_ms:
        raise ValueError(f"a period from {since_ms} to {until_ms} ms is empty")


def _malformed(message: str) -> QueryFailed:
    return QueryFailed(QueryFault.MALFORMED, Answer(message))
