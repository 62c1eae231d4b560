"""Read Kling's bills (docs/upstream/kling.md, "Bills"): what was deducted for which task, and what packs hold.

What packs paid is one bill, what the account's balance paid another; their pages are alike. All routes are read only,
allow one request a second, and are up to 12 h late.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.kling.billing_parse import (
    BilledTask,
    BillingPage,
    Packs,
    parse_billing_page,
    parse_packs,
)
from extend_pipeline.providers.kling.provider import PAGE_CAP, KlingProvider
from extend_pipeline.providers.protocol import Answer, QueryFailed, QueryFault

COSTS_PATH: Final = "/account/costs"  # none of these has the /v1 of the other routes
BILL_PATH: Final = "/account/billing/package"
BALANCE_PATH: Final = "/account/billing/balance"
LATE_S: Final = 12 * 3600.0  # what is younger may be missing in a bill without meaning anything
MAX_ROWS: Final = 500
MAX_PAGES: Final = 200  # 100,000 deductions; a period with more is to be asked for in parts
_INTERVAL_S: Final = 1.1  # one request a second, and a margin for a clock that is not ours
# Half of each wait is chance, so that the shortest is 1.1 s.
_RETRY: Final = RetryPolicy(attempts=3, wait_initial_s=2.2, wait_max_s=5.0)
_ONCE: Final = RetryPolicy(attempts=1)  # a page of a bill; but for a refused token, which is sent anew


@dataclass(frozen=True, slots=True)
class Bill:
    """All deductions of a period. `malformed` counts rows that could not be understood."""

    rows: tuple[BilledTask, ...]
    malformed: int
    pages: int


class KlingBilling:
    """The bills of one Kling account, over its provider's connections and credentials. For one thread at a time.

    `pause` waits so many seconds; it comes before every request but the first.
    """

    def __init__(
        self, provider: KlingProvider, *, pause: Callable[[float], None] = time.sleep, retry: RetryPolicy = _RETRY
    ) -> None:
        self._client, self._pause, self._retry = provider.client, pause, retry
        self._requested = False

    def packs(self, since_ms: int, until_ms: int) -> Packs | QueryFailed:
        """Return the packs that were bought in a period (UTC ms): reach back by a year and more for all that may still
        hold units. What is left in them is up to 12 h late. Raises ValueError for a period that ends before it
        begins."""
        _check(since_ms, until_ms)
        self._space()
        params = {"start_time": since_ms, "end_time": until_ms}
        return self._client.get(COSTS_PATH, params, parse_packs, retry=self._retry)

    def bill(
        self, since_ms: int, until_ms: int, *, page_rows: int = MAX_ROWS, max_pages: int = MAX_PAGES
    ) -> Bill | QueryFailed:
        """Return every deduction from packs for the tasks that were created in a period (UTC ms, the end left out).

        All or nothing: where one page fails, or the bill is longer than `max_pages`, the whole query fails, because
        what is missing in a part of a bill means nothing. Raises ValueError for a period that ends before it begins and
        outside 1 ≤ page_rows ≤ 500.
        """
        return self._all_of(BILL_PATH, since_ms, until_ms, page_rows, max_pages)

    def paid_from_balance(self, since_ms: int, until_ms: int) -> frozenset[str] | QueryFailed:
        """Return the tasks of a period for which the balance was charged, in money instead of units. All or nothing, as
        `bill`; a row that can't be understood fails the query too."""
        bill = self._all_of(BALANCE_PATH, since_ms, until_ms, MAX_ROWS, MAX_PAGES)
        if isinstance(bill, QueryFailed):
            return bill
        if bill.malformed:
            return _unread(f"{bill.malformed} rows of the bill of the balance can't be read")
        return frozenset(row.task_id for row in bill.rows)

    def _all_of(self, path: str, since_ms: int, until_ms: int, page_rows: int, max_pages: int) -> Bill | QueryFailed:
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
                return _unread("the bill's pages go round in a circle; ask again later")
            cursors.add(cursor)
            body = {"cursor": cursor}
        return _unread(f"the bill has more than {max_pages} pages; ask for a shorter period")

    def _page(self, path: str, body: Mapping[str, object]) -> BillingPage | QueryFailed:
        self._space()
        return self._client.query_via_post(path, body, parse_billing_page, body_cap=PAGE_CAP, retry=_ONCE)

    def _space(self) -> None:
        if self._requested:
            self._pause(_INTERVAL_S)
        self._requested = True


def _check(since_ms: int, until_ms: int) -> None:
    if not 0 <= since_ms < until_ms:
        raise ValueError(f"a period from {since_ms} to {until_ms} ms has no length")


def _unread(message: str) -> QueryFailed:
    return QueryFailed(QueryFault.MALFORMED, Answer(message))
