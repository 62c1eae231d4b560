"""Kling's billing routes (docs/upstream/kling.md, "Bills"): packs with what is left in them, and bills by task, one of
what packs paid and one of what the balance paid.

They show the sandbox's charge book, late by `billing_delay`. None has the `/v1` of the others.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extend_pipeline.sandbox.config import SandboxAccount
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.kling import bills
from extend_pipeline.sandbox.kling.auth import authenticate
from extend_pipeline.sandbox.kling.bodies import envelope
from extend_pipeline.sandbox.kling.surface import KlingWords
from extend_pipeline.sandbox.kling.tasks import NAME
from extend_pipeline.sandbox.surface.errors import Refusal, refusal_response
from extend_pipeline.sandbox.surface.exchange import Json, Worked, exchange
from extend_pipeline.sandbox.surface.making import request_ids

_COSTS, _PACKAGE, _BALANCE = "/account/costs", "/account/billing/package", "/account/billing/balance"


class BillingSurface:
    """What an account's owner can read about its money."""

    def __init__(self, core: Core) -> None:
        """Read that sandbox's charge book."""
        self._core, self._words = core, KlingWords()
        self._asked_ms: dict[tuple[str, str], int] = {}
        self._opened_ms = core.store.opened_ms(core.clock.now_ms())

    def routes(self) -> list[Route]:
        """Packs, bills."""
        counted = self._core.requests.counted
        return [
            Route(_COSTS, counted(_COSTS, self._costs), methods=["GET"]),
            Route(_PACKAGE, counted(_PACKAGE, self._bill), methods=["POST"]),
            Route(_BALANCE, counted(_BALANCE, self._bill), methods=["POST"]),
        ]

    async def _costs(self, request: Request) -> Response:
        def read(account: SandboxAccount, _body: bytes) -> Json | Refusal:
            asked = bills.read_period(dict(request.query_params))
            return asked if isinstance(asked, Refusal) else self._packs(account, asked)

        return await self._answer(request, read)

    async def _bill(self, request: Request) -> Response:
        paid_so = (request.url.path == _BALANCE) is self._core.config.postpaid

        def read(account: SandboxAccount, body: bytes) -> Json | Refusal:
            asked = bills.read_request(body, self._core.config.billing_page)
            if isinstance(asked, Refusal):
                return asked
            return self._page(account, asked) if paid_so else bills.page([], "")

        return await self._answer(request, read)

    async def _answer(self, request: Request, read: Callable[[SandboxAccount, bytes], Json | Refusal]) -> Response:
        core = self._core

        def work(body: bytes) -> Worked | Response:
            account = authenticate(request.headers.get("authorization"), core.config.accounts, core.clock.real_s())
            if isinstance(account, Refusal):
                return refusal_response(account)
            data = self._too_fast(account.name, request.url.path) or read(account, body)
            return refusal_response(data) if isinstance(data, Refusal) else Worked(envelope(data), {})

        return await exchange(
            core, request, "billing", self._words, ids_of=lambda _: request_ids(NAME, None), work=work
        )

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

    def _packs(self, account: SandboxAccount, period: bills.Period) -> Json:
        """Return the pack that `balance` stands for, if it was bought in that time; an account without limit has
        none."""
        core, seen_ms = self._core, self._seen_ms()
        data: Json = {"code": 0, "msg": "success"}
        balance = core.config.balance
        if balance is None or not period.since_ms <= self._opened_ms < period.until_ms:
            return data
        known = core.store.bills(
            account.name, core.clock.now_ms(), since_ms=0, until_ms=seen_ms + 1, after_row=0, limit=-1
        )
        spent_milli = sum(bill.units_milli for bill in known)
        pack = bills.pack(account.name, balance, spent_milli, self._opened_ms, core.clock.now_ms())
        return {**data, "resource_pack_subscribe_infos": [pack]}

    def _page(self, account: SandboxAccount, asked: bills.Asked) -> Json:
        core = self._core
        rows = core.store.bills(
            account.name,
            core.clock.now_ms(),
            since_ms=asked.since_ms,
            until_ms=min(asked.until_ms, self._seen_ms() + 1),
            after_row=asked.after_row,
            limit=asked.limit + 1,
        )
        page = rows[: asked.limit]
        lines = []
        for bill in page:
            task = core.store.task_with_id(NAME, account.name, bill.task_id)
            video = None if task is None else core.store.video(task.video_id or task.parent_video_id)
            lines.append(bills.line(bill, account.name, video, core.config.balance, postpaid=core.config.postpaid))
        return bills.page(lines, bills.cursor(asked, page[-1].row) if len(rows) > asked.limit else "")
