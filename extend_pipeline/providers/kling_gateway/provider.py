"""Kling through a reseller's gateway (docs/upstream/kling-gateway.md): the Provider that talks to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from urllib.parse import quote

from extend_pipeline.providers.kling.spec import PATH  # below the prefix
from extend_pipeline.providers.kling_gateway.body import check_passes, gateway_body
from extend_pipeline.providers.kling_gateway.models import PREFIX
from extend_pipeline.providers.kling_gateway.parse import parse_gateway_query, parse_gateway_submit
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


class GatewayProvider:
    """One account at a gateway. Safe to use from several threads.

    `passes` are the fields beyond those in docs/upstream/kling-gateway.md, "Submit" that the gateway hands on to Kling
    (gateway_body.PASSES). A task can be looked up by our own id only where `external_task_id` is among them. `prefix`
    stands before every path. Raises ValueError for a field that no gateway passes.
    """

    list_page_size = 0
    many = 0

    def __init__(self, client: KeyClient, *, passes: Collection[str] = (), prefix: str = PREFIX) -> None:
        self._client = client
        self._path = prefix + PATH
        self._passes = check_passes(passes)
        self.can_find = "external_task_id" in self._passes

    def __repr__(self) -> str:
        return f"GatewayProvider({self._client!r})"

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """The exact JSON that `submit` sends. Raises ValueError for a request that config should not have let
        through."""
        return gateway_body(request, self._passes)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. Never retried, never redirected."""
        own_id = request.external_task_id if self.can_find else None
        read = partial(parse_gateway_submit, external_task_id=own_id, parent_task_id=request.parent_task_id)
        return self._client.submit(self._path, self.body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by the id that the gateway gave."""
        return self._look_up(task_id, own_key=False)

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look tasks up one by one."""
        return {task_id: self.query(task_id) for task_id in task_ids}

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id, where the gateway passes it."""
        if not self.can_find:
            return QueryFailed(QueryFault.MALFORMED, Answer("this gateway does not pass our own id; nothing was asked"))
        return self._look_up(external_task_id, own_key=True)

    def list_page(self, page: int, size: int) -> PageOutcome:
        """Nothing: no gateway documents a list."""
        return QueryFailed(
            QueryFault.MALFORMED, Answer(f"a gateway has no list; page {page} of {size} was not asked for")
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _look_up(self, task_id: str, *, own_key: bool) -> QueryOutcome:
        if task_id in ("", ".", ".."):
            # as the last part of a path these name something else
            return QueryFailed(QueryFault.MALFORMED, Answer(f"{task_id!r} can't be a task's id; it was not asked for"))
        read = partial(parse_gateway_query, asked=task_id, own_key=own_key)
        return self._client.get(f"{self._path}/{quote(task_id, safe='', errors='replace')}", None, read)
