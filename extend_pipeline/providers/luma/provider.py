"""Luma through a reseller (docs/upstream/luma.md): the Provider that talks to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

from extend_pipeline.providers.luma.body import GENERATIONS, extend_path, ledger_body, luma_body
from extend_pipeline.providers.luma.models import PREFIX
from extend_pipeline.providers.luma.parse import parse_luma_many, parse_luma_query, parse_luma_submit
from extend_pipeline.providers.protocol import (
    Answer,
    PageOutcome,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    SubmitOutcome,
    SubmitRequest,
)
from extend_pipeline.providers.wire.api_key_client import KeyClient

SEVERAL: Final = "/tasks"  # below the prefix
MANY: Final = 50  # no source says how many ids are allowed; so many bodies of 2-6 kB stay well under the cap
MANY_CAP: Final = 4_000_000  # bytes of the answer about several


class LumaProvider:
    """One account at a reseller of Luma. Safe to use from several threads.

    `batch_query` says that the reseller has `POST /luma/tasks`; without it generations are looked up one by one.
    `prefix` stands before every path.
    """

    can_find = False
    list_page_size = 0

    def __init__(self, client: KeyClient, *, batch_query: bool = False, prefix: str = PREFIX) -> None:
        self._client = client
        self._prefix = prefix
        self.many = MANY if batch_query else 0

    def __repr__(self) -> str:
        return f"LumaProvider({self._client!r})"

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """What `submit` sends, with pictures in base64 named by their sha256. Raises ValueError for a request that
        config should not have let through."""
        return ledger_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once, to the generation that is extended. Never retried, never redirected."""
        read = partial(parse_luma_submit, parent_task_id=request.source_id)
        return self._client.submit(self._prefix + extend_path(request.source_id), luma_body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a generation up."""
        if task_id in ("", ".", ".."):
            # as the last part of a path these name something else
            return QueryFailed(QueryFault.MALFORMED, Answer(f"{task_id!r} can't be a generation; it was not asked for"))
        path = f"{self._prefix}{GENERATIONS}/{quote(task_id, safe='', errors='replace')}"
        return self._client.get(path, None, partial(parse_luma_query, asked=task_id))

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look generations up, `many` in a request: `POST /luma/tasks {"ids": […]}`.

        This POST is a question. It makes no generation, changes none and costs nothing, and asking twice gives the same
        answer; so it is repeated within bounds as a GET is, which no submit ever may be. What the answer leaves out is
        left out here.
        """
        wanted = list(dict.fromkeys(task_ids))
        if not self.many:
            return {task_id: self.query(task_id) for task_id in wanted}
        answers: dict[str, QueryOutcome] = {}
        for start in range(0, len(wanted), self.many):
            answers.update(self._ask_for(wanted[start : start + self.many]))
        return answers

    def find(self, external_task_id: str) -> QueryOutcome:
        """Nothing: Luma knows no key of ours."""
        return QueryFailed(QueryFault.MALFORMED, Answer(f"Luma has no look-up by our own id {external_task_id}"))

    def list_page(self, page: int, size: int) -> PageOutcome:
        """Nothing: no reseller documents a list."""
        return QueryFailed(QueryFault.MALFORMED, Answer(f"Luma has no list; page {page} of {size} was not asked for"))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask_for(self, task_ids: list[str]) -> dict[str, QueryOutcome]:
        answer = self._client.ask_by_post(
            self._prefix + SEVERAL, {"ids": task_ids}, partial(parse_luma_many, asked=task_ids), body_cap=MANY_CAP
        )
        if not isinstance(answer, QueryFailed):
            return answer
        # no array: perhaps this reseller has no such route, and each by itself will be answered
        return {} if answer.fault is QueryFault.MALFORMED else dict.fromkeys(task_ids, answer)
