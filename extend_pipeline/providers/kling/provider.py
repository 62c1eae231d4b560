"""Kling, official (docs/upstream/kling.md): the Provider that talks to it. What answers mean is told by
kling_parse."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from extend_pipeline.providers.http.results import Reply
from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.http.route import DIRECT, Route
from extend_pipeline.providers.kling.body import submit_body
from extend_pipeline.providers.kling.client import KlingClient
from extend_pipeline.providers.kling.parse import parse_page, parse_query, parse_submit
from extend_pipeline.providers.kling.spec import PATH
from extend_pipeline.providers.protocol import (
    Answer,
    PageOutcome,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    SubmitOutcome,
    SubmitRequest,
)
from extend_pipeline.providers.wire.credentials import Credentials

MAX_PAGE: Final = 1000  # docs/upstream/kling.md, "List"
MAX_PAGE_SIZE: Final = 500
# 500 rows with three signed URLs each come to 1-2 MB; the cap of other bodies would refuse every full page.
PAGE_CAP: Final = 8_000_000


class KlingProvider:
    """One Kling account. Safe to use from several threads; blocks for at most the deadline of a call, retries included.
    `client` is for what is asked besides: the bills.

    `now` is seconds of UTC since 1970. Raises ValueError for a base URL that may not be used (see HttpClient).
    """

    can_find = True
    list_page_size = MAX_PAGE_SIZE
    many = 0  # the list is what several tasks are read from

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Credentials,
        allow_local: bool = False,
        route: Route = DIRECT,
        post_deadline_s: float = 60.0,
        get_deadline_s: float = 30.0,
        now: Callable[[], float] = time.time,
        retry: RetryPolicy | None = None,
        page_cap: int = PAGE_CAP,
    ) -> None:
        self.client = KlingClient(
            base_url=base_url,
            credentials=credentials,
            allow_local=allow_local,
            route=route,
            post_deadline_s=post_deadline_s,
            get_deadline_s=get_deadline_s,
            now=now,
            retry=retry,
        )
        self._page_cap = page_cap

    def __repr__(self) -> str:
        return f"KlingProvider({self.client!r})"

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """The exact JSON that `submit` sends. Raises ValueError for a request that config should not have let
        through."""
        return submit_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. Never retried, never redirected; after 1003 / 1004, which say that nothing was made, once more."""

        def read(reply: Reply, secrets: tuple[str, ...], wait: float | None) -> SubmitOutcome:
            return parse_submit(
                reply.status,
                reply.body,
                external_task_id=request.external_task_id,
                secrets=secrets,
                retry_after_s=wait,
            )

        return self.client.submit(PATH, submit_body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by Kling's id."""
        return self._look_up(task_id, own_key=False)

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look tasks up one by one."""
        return {task_id: self.query(task_id) for task_id in task_ids}

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id."""
        return self._look_up(external_task_id, own_key=True)

    def list_page(self, page: int, size: int) -> PageOutcome:
        """One page of the account's tasks. Raises ValueError outside 1 ≤ page ≤ 1000 and 1 ≤ size ≤ 500."""
        if not (1 <= page <= MAX_PAGE and 1 <= size <= MAX_PAGE_SIZE):
            raise ValueError(f"page {page} of {size} rows: Kling has pages 1-{MAX_PAGE} of 1-{MAX_PAGE_SIZE} rows")

        def read(reply: Reply, secrets: tuple[str, ...], wait: float | None) -> PageOutcome:
            return parse_page(reply.status, reply.body, secrets=secrets, retry_after_s=wait)

        return self.client.ask(PATH, {"pageNum": page, "pageSize": size}, read, self._page_cap)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _look_up(self, task_id: str, *, own_key: bool) -> QueryOutcome:
        if task_id in ("", ".", ".."):
            # as the last part of a path these name something else
            return QueryFailed(QueryFault.MALFORMED, Answer(f"{task_id!r} can't be a task's id; it was not asked for"))

        def read(reply: Reply, secrets: tuple[str, ...], wait: float | None) -> QueryOutcome:
            return parse_query(
                reply.status, reply.body, asked=task_id, own_key=own_key, secrets=secrets, retry_after_s=wait
            )

        return self.client.ask(f"{PATH}/{quote(task_id, safe='', errors='replace')}", None, read)
