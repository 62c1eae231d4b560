"""Luma through a reseller (docs/upstream/luma.md): the Provider that talks to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from extend_pipeline.providers.base import AccountProvider
from extend_pipeline.providers.luma.body import GENERATIONS, extend_path, ledger_body, luma_body
from extend_pipeline.providers.luma.models import PREFIX
from extend_pipeline.providers.luma.parse import parse_luma_many, parse_luma_query, parse_luma_submit
from extend_pipeline.providers.protocol import QueryFailed, QueryFault, QueryOutcome, SubmitOutcome, SubmitRequest
from extend_pipeline.providers.wire.api_client import ApiClient

SEVERAL: Final = "/tasks"  # below the prefix
MANY: Final = 50  # no source says how many ids are allowed; so many bodies of 2-6 kB stay well under the cap
MANY_CAP: Final = 4_000_000  # bytes of the response about several


class LumaProvider(AccountProvider):
    """One account at a reseller of Luma.

    `batch_query` says that the reseller has `POST /luma/tasks`; without it generations are looked up one by one.
    `prefix` stands before every path.
    """

    def __init__(self, client: ApiClient, *, batch_query: bool = False, prefix: str = PREFIX) -> None:
        super().__init__(client)
        self._prefix = prefix
        self.many = MANY if batch_query else 0

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return what `submit` sends, with images in base64 named by their sha256. Raises ValueError for a request
        that config should not have let through."""
        return ledger_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once, to the generation that is extended. Never retried, never redirected."""
        read = partial(parse_luma_submit, parent_task_id=request.source_id)
        return self.client.submit(self._prefix + extend_path(request.source_id), luma_body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a generation up."""
        return self._look_up(self._prefix + GENERATIONS, task_id, partial(parse_luma_query, requested=task_id))

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look generations up, `many` in a request: `POST /luma/tasks {"ids": […]}`.

        This POST is a query: it makes no generation, changes none and costs nothing, and repeating it gives the same
        response. It is therefore repeated within bounds as a GET is, which no submit ever may be. A generation that the
        response leaves out is left out here.
        """
        wanted = list(dict.fromkeys(task_ids))
        if not self.many:
            return super().query_many(wanted)
        outcomes: dict[str, QueryOutcome] = {}
        for start in range(0, len(wanted), self.many):
            outcomes.update(self._query_several(wanted[start : start + self.many]))
        return outcomes

    def _query_several(self, task_ids: list[str]) -> dict[str, QueryOutcome]:
        outcomes = self.client.query_via_post(
            self._prefix + SEVERAL, {"ids": task_ids}, partial(parse_luma_many, requested=task_ids), body_cap=MANY_CAP
        )
        if not isinstance(outcomes, QueryFailed):
            return outcomes
        # no array: this reseller may have no such route, and answer about each generation by itself
        return {} if outcomes.fault is QueryFault.MALFORMED else dict.fromkeys(task_ids, outcomes)
