"""The provider for Luma through a reseller (docs/upstream/luma.md)."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from extend_pipeline.providers.luma.body import GENERATIONS, extend_path, ledger_body, luma_body
from extend_pipeline.providers.luma.models import PREFIX
from extend_pipeline.providers.luma.parse import parse_luma_many, parse_luma_query, parse_luma_submit
from extend_pipeline.providers.protocol import (
    Provider,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    SubmitOutcome,
    SubmitRequest,
)
from extend_pipeline.providers.wire.api_client import ApiClient

BATCH_PATH: Final = "/tasks"  # below the prefix
BATCH_SIZE: Final = 50  # ids; no limit is documented, and 50 bodies of 2-6 kB stay well below the cap
BATCH_CAP: Final = 4_000_000  # bytes of the response


class LumaProvider(Provider):
    """One account at a reseller of Luma.

    With `batch_query` the reseller has `POST /luma/tasks`; without it generations are looked up one by one. `prefix`
    precedes every path.
    """

    def __init__(self, client: ApiClient, *, batch_query: bool = False, prefix: str = PREFIX) -> None:
        super().__init__(client)
        self._prefix = prefix
        self.query_batch_size = BATCH_SIZE if batch_query else 0

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return the body of `submit` with base64 images replaced by their sha256. Raises ValueError for a request that
        config should have refused."""
        return ledger_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once to the path of the parent generation, without retry or redirect."""
        read = partial(parse_luma_submit, parent_task_id=request.source_id)
        return self.client.submit(self._prefix + extend_path(request.source_id), luma_body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a generation up."""
        return self._look_up(self._prefix + GENERATIONS, task_id, partial(parse_luma_query, requested=task_id))

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look generations up, `query_batch_size` in a request: `POST /luma/tasks {"ids": […]}`.

        This POST may be repeated like a GET, unlike a submit, because it creates, changes and charges nothing. A
        generation that is missing in the response is missing in the result.
        """
        unique_ids = list(dict.fromkeys(task_ids))
        if not self.query_batch_size:
            return super().query_many(unique_ids)
        outcomes: dict[str, QueryOutcome] = {}
        for start in range(0, len(unique_ids), self.query_batch_size):
            outcomes.update(self._query_batch(unique_ids[start : start + self.query_batch_size]))
        return outcomes

    def _query_batch(self, task_ids: list[str]) -> dict[str, QueryOutcome]:
        read = partial(parse_luma_many, requested=task_ids)
        outcomes = self.client.query(self._prefix + BATCH_PATH, read, body={"ids": task_ids}, body_cap=BATCH_CAP)
        if not isinstance(outcomes, QueryFailed):
            return outcomes
        # without an array this reseller may lack the route, and each generation has to be looked up alone
        return {} if outcomes.fault is QueryFault.MALFORMED else dict.fromkeys(task_ids, outcomes)
