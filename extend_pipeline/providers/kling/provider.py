"""The provider for Kling's official API (docs/upstream/kling.md)."""

from collections.abc import Collection
from functools import partial
from typing import Final

from extend_pipeline.providers.kling.body import submit_body
from extend_pipeline.providers.kling.parse import PAGE_CAP, parse_page, parse_query, parse_submit
from extend_pipeline.providers.kling.spec import PATH
from extend_pipeline.providers.protocol import PageOutcome, Provider, QueryOutcome, SubmitOutcome, SubmitRequest
from extend_pipeline.providers.wire.api_client import ApiClient

MAX_PAGE: Final = 1000  # docs/upstream/kling.md, "List"
MAX_PAGE_SIZE: Final = 500


class KlingProvider(Provider):
    """One Kling account. `page_cap` is the size limit of a list page in bytes."""

    can_find = True
    list_page_size = MAX_PAGE_SIZE

    def __init__(self, client: ApiClient, *, page_cap: int = PAGE_CAP) -> None:
        super().__init__(client)
        self._page_cap = page_cap

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return the exact JSON that `submit` sends. Raises ValueError for a request that config should have
        refused."""
        return submit_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once, without retry or redirect; a second time only after 1003 or 1004, with which no task was made."""
        read = partial(parse_submit, external_task_id=request.external_task_id)
        return self.client.submit(PATH, submit_body(request), read)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by Kling's id."""
        return self._look_up(PATH, task_id, partial(parse_query, requested=task_id))

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id."""
        read = partial(parse_query, requested=external_task_id, own_key=True)
        return self._look_up(PATH, external_task_id, read)

    def list_page(self, page: int, size: int, *, only: Collection[str] | None = None) -> PageOutcome:
        """Return one page of the account's tasks. Raises ValueError outside 1 ≤ page ≤ 1000 and 1 ≤ size ≤ 500."""
        if not (1 <= page <= MAX_PAGE and 1 <= size <= MAX_PAGE_SIZE):
            raise ValueError(f"page {page} of {size} rows: Kling has pages 1-{MAX_PAGE} of 1-{MAX_PAGE_SIZE} rows")
        params = {"pageNum": page, "pageSize": size}
        return self.client.query(PATH, partial(parse_page, only=only), params=params, body_cap=self._page_cap)
