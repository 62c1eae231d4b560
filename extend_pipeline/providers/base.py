"""The base class of all providers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from urllib.parse import quote

from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.http.route import route_of
from extend_pipeline.providers.protocol import Answer, PageOutcome, QueryFailed, QueryFault, QueryOutcome
from extend_pipeline.providers.spec import Deadlines
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import Auth
from extend_pipeline.providers.wire.response import RawResponse


class AccountProvider(ABC):
    """A Provider without a list, without a query for several tasks, and without a look-up by our own id; a subclass
    overrides what its upstream offers. Safe to use from several threads; a call blocks for at most its deadline,
    repeats included."""

    can_find: bool = False
    list_page_size: int = 0
    query_batch_size: int = 0

    def __init__(self, client: ApiClient) -> None:
        self.client = client

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.client!r})"

    @abstractmethod
    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by the upstream's id."""

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look tasks up one by one."""
        return {task_id: self.query(task_id) for task_id in task_ids}

    def find(self, external_task_id: str) -> QueryOutcome:
        """Fail, because the upstream does not store our own ids."""
        return _not_queried(f"this account has no look-up by our own id {external_task_id}")

    def list_page(self, page: int, size: int) -> PageOutcome:
        """Fail, because the upstream has no list."""
        return _not_queried(f"this account has no list of tasks, and so no page {page} of {size} rows")

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _look_up(self, path: str, task_id: str, read: Callable[[RawResponse], QueryOutcome]) -> QueryOutcome:
        """Query `path/{task_id}`, with the id as one path segment."""
        if task_id in ("", ".", ".."):
            # as a path segment these would name another path
            return _not_queried(f"{task_id!r} can't be a task's id")
        return self.client.get(f"{path}/{quote(task_id, safe='', errors='replace')}", None, read)


def client_of(account: Account, settings: Deadlines, now: Callable[[], float], auth: Auth) -> ApiClient:
    """Return the client of an account. Sends nothing. `now` returns seconds of UTC since 1970."""
    return ApiClient(
        base_url=account.base_url,
        auth=auth,
        allow_local=account.allow_local,
        route=route_of(account),
        post_deadline_s=settings.post_deadline_s,
        get_deadline_s=settings.get_deadline_s,
        now=now,
    )


def _not_queried(reason: str) -> QueryFailed:
    return QueryFailed(QueryFault.MALFORMED, Answer(f"{reason}; nothing was sent"))
