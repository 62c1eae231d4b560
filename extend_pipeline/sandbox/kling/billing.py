"""Kling's billing routes (docs/upstream/kling.md, "Bills"): packs with what is left in them, and bills by task, one of
what packs paid and one of what the balance paid.

They show the sandbox's charge book, late by `billing_delay`. None has the `/v1` of the others.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.kling import bills
from extend_pipeline.sandbox.kling.bodies import envelope
from extend_pipeline.sandbox.kling.surface import KlingApi
from extend_pipeline.sandbox.kling.tasks import NAME
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json, Worked

_COSTS, _PACKAGE, _BALANCE = "/account/costs", "/account/billing/package", "/account/billing/balance"


class BillingSurface(KlingApi):
    """What an account's owner can read about its money."""

    def __init__(self, core: Core) -> None:
        """Read that sandbox's charge book."""
        super().__init__(core)
        self._asked_ms: dict[tuple[str, str], int] = {}
        self._opened_ms = core.store.opened_ms(core.clock.now_ms())

    def routes(self) -> list[Route]:
        """Return the routes of packs and bills."""
        return [
            self.route("GET", _COSTS, "billing", self._costs),
            self.route("POST", _PACKAGE, "billing", self._bill),
            self.route("POST", _BALANCE, "billing", self._bill),
        ]

    def _costs(self, request: Request, account: str, _body: bytes) -> Worked | Refusal:
        asked = self._too_fast(account, request.url.path) or bills.read_period(dict(request.query_params))
        return asked if isinstance(asked, Refusal) else Worked(envelope(self._packs(account, asked)), {})

    def _bill(self, request: Request, account: str, body: bytes) -> Worked | Refusal:
        config, path = self._core.config, request.url.path
        asked = self._too_fast(account, path) or bills.read_request(body, config.billing_page)
        if isinstance(asked, Refusal):
            return asked
        paid_so = (path == _BALANCE) is config.postpaid
        return Worked(envelope(self._page(account, asked) if paid_so else bills.page([], "")), {})

    def _too_fast(self, account: str, path: str) -> Refusal | None:
        """Counted by the sandbox's clock, so that a test can let the time pass; one set back starts anew."""
        now_ms, before_ms = self._core.clock.now_ms(), self._asked_ms.get((account, path))
        self._asked_ms[account, path] = now_ms
        if before_ms is not None and 0 <= now_ms - before_ms < self._core.config.billing_interval * 1000:
            return Refusal(1302)
        return None

    def _seen_ms(self) -> int:
        """Return up to when the bills are written."""
        return self._core.clock.now_ms() - round(self._core.config.billing_delay * 1000)

    def _packs(self, account: str, period: bills.Asked) -> Json:
        """Return the pack that `balance` stands for, if it was bought in that time; an account without limit has
        none."""
        core, seen_ms = self._core, self._seen_ms()
        data: Json = {"code": 0, "msg": "success"}
        balance = core.config.balance
        if balance is None or not period.since_ms <= self._opened_ms < period.until_ms:
            return data
        known = core.store.bills(account, core.clock.now_ms(), since_ms=0, until_ms=seen_ms + 1, after_row=0, limit=-1)
        spent_milli = sum(bill.units_milli for bill in known)
        pack = bills.pack(account, balance, spent_milli, self._opened_ms, core.clock.now_ms())
        return {**data, "resource_pack_subscribe_infos": [pack]}

    def _page(self, account: str, asked: bills.Asked) -> Json:
        core = self._core
        rows = core.store.bills(
            account,
            core.clock.now_ms(),
            since_ms=asked.since_ms,
            until_ms=min(asked.until_ms, self._seen_ms() + 1),
            after_row=asked.after_row,
            limit=asked.limit + 1,
        )
        page = rows[: asked.limit]
        lines = []
        for bill in page:
            task = core.store.task_with_id(NAME, account, bill.task_id)
            video = None if task is None else core.store.video(task.video_id or task.parent_video_id)
            lines.append(bills.line(bill, account, video, core.config.balance, postpaid=core.config.postpaid))
        return bills.page(lines, bills.cursor(asked, page[-1].row) if len(rows) > asked.limit else "")
