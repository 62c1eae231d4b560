"""The provider for Kling through a reseller's gateway (docs/upstream/kling-gateway.md)."""

from collections.abc import Collection
from functools import partial

from extend_pipeline.providers.kling.spec import PATH  # below the prefix
from extend_pipeline.providers.kling_gateway.body import check_forwarded, gateway_body
from extend_pipeline.providers.kling_gateway.models import PREFIX
from extend_pipeline.providers.kling_gateway.parse import parse_gateway_query, parse_gateway_submit
from extend_pipeline.providers.protocol import Provider, QueryOutcome, SubmitOutcome, SubmitRequest
from extend_pipeline.providers.wire.api_client import ApiClient


class GatewayProvider(Provider):
    """One account at a gateway.

    `forwarded_fields` are the fields of models.FORWARDABLE that the gateway forwards to Kling. A task can be looked up
    by our own id only if `external_task_id` is among them. `prefix` precedes every path. Raises ValueError for a
    field that no gateway forwards.
    """

    def __init__(self, client: ApiClient, *, forwarded_fields: Collection[str] = (), prefix: str = PREFIX) -> None:
        super().__init__(client)
        self._path = prefix + PATH
        self._forwarded = check_forwarded(forwarded_fields)
        self.can_find = "external_task_id" in self._forwarded

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return the exact JSON that `submit` sends. Raises ValueError for a request that config should have
        refused."""
        return gateway_body(request, self._forwarded)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once, without retry or redirect."""
        own_id = request.external_task_id if self.can_find else None
        read = partial(parse_gateway_submit, external_task_id=own_id, parent_task_id=request.parent_task_id)
        return self.client.submit(self._path, self.body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by the gateway's id."""
        return self._look_up(self._path, task_id, partial(parse_gateway_query, requested=task_id))

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id, if the gateway forwards it."""
        if not self.can_find:
            return super().find(external_task_id)
        read = partial(parse_gateway_query, requested=external_task_id, own_key=True)
        return self._look_up(self._path, external_task_id, read)
