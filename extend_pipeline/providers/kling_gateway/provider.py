"""Kling through a reseller's gateway (docs/upstream/kling-gateway.md): the Provider that talks to it."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from extend_pipeline.providers.base import AccountProvider
from extend_pipeline.providers.kling.spec import PATH  # below the prefix
from extend_pipeline.providers.kling_gateway.body import check_passes, gateway_body
from extend_pipeline.providers.kling_gateway.models import PREFIX
from extend_pipeline.providers.kling_gateway.parse import parse_gateway_query, parse_gateway_submit
from extend_pipeline.providers.protocol import QueryOutcome, SubmitOutcome, SubmitRequest
from extend_pipeline.providers.wire.api_client import ApiClient


class GatewayProvider(AccountProvider):
    """One account at a gateway.

    `passes` are the fields beyond those in docs/upstream/kling-gateway.md, "Submit" that the gateway forwards to Kling
    (body.PASSES). A task can be looked up by our own id only where `external_task_id` is among them. `prefix` stands
    before every path. Raises ValueError for a field that no gateway forwards.
    """

    def __init__(self, client: ApiClient, *, passes: Collection[str] = (), prefix: str = PREFIX) -> None:
        super().__init__(client)
        self._path = prefix + PATH
        self._passes = check_passes(passes)
        self.can_find = "external_task_id" in self._passes

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return the exact JSON that `submit` sends. Raises ValueError for a request that config should not have let
        through."""
        return gateway_body(request, self._passes)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. Never retried, never redirected."""
        own_id = request.external_task_id if self.can_find else None
        read = partial(parse_gateway_submit, external_task_id=own_id, parent_task_id=request.parent_task_id)
        return self.client.submit(self._path, self.body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by the id that the gateway gave."""
        return self._look_up(self._path, task_id, partial(parse_gateway_query, requested=task_id))

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id, where the gateway forwards it."""
        if not self.can_find:
            return super().find(external_task_id)
        read = partial(parse_gateway_query, requested=external_task_id, own_key=True)
        return self._look_up(self._path, external_task_id, read)
