"""The outcomes of upstream calls as types, and the base class of a provider. Loads no HTTP.

A submit has three outcomes (docs/upstream/README.md, "Reading the response to a submit"): accepted with a task id,
rejected so that provably no task was made, or unknown. `Duplicate`, for class A only, means that the upstream reports
our own key as taken: evidence of an earlier acceptance, which is looked up before it is acted on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from extend_pipeline.providers.wire.api_client import ApiClient
    from extend_pipeline.providers.wire.response import RawResponse


class TaskState(StrEnum):
    """The state of an upstream task; an unknown status word is read as PROCESSING with a warning."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RejectReason(StrEnum):
    """Why provably no task was made."""

    UNSENT = "unsent"  # refused, DNS, TLS (but for the next), connect or pool time-out: no byte of the request left
    CERTIFICATE = "certificate"  # the server's certificate is not trusted: no byte left
    PROXY = "proxy"  # the proxy refuses the tunnel: no byte left
    # the numbers are the business codes of wire/codes.py; other error bodies are read by wire/errors.py
    NO_KEY = "no_key"  # this process has no usable key: no byte left, and the account is not at fault
    AUTH = "auth"  # 1000-1004 after one re-mint
    CLOCK = "clock"  # 1003, 1004 while our clock and the response's Date differ: the clock is at fault, not the key
    BALANCE = "balance"  # 1100-1102: arrears, pack used up
    FORBIDDEN = "forbidden"  # 1103, 1304
    BAD_REQUEST = "bad_request"  # 1200, 1201 (not on our own key), 1202
    NOT_FOUND = "not_found"  # 1203: expired, or another account's
    CONTENT = "content"  # 1300, 1301
    RATE = "rate"  # 1302
    SLOTS = "slots"  # 1303

    @property
    def transient(self) -> bool:
        """Return whether the step is planned again automatically."""
        return self in (RejectReason.UNSENT, RejectReason.RATE, RejectReason.SLOTS)

    @property
    def stops_account(self) -> bool:
        """Return whether submits through the account stop until the operator acts, or until the local cause (clock,
        certificates, proxy) is fixed."""
        return self in (
            RejectReason.CERTIFICATE,
            RejectReason.PROXY,
            RejectReason.AUTH,
            RejectReason.CLOCK,
            RejectReason.BALANCE,
            RejectReason.FORBIDDEN,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of a response that is kept as evidence. `raw` is limited in size and contains no secrets."""

    message: str
    http_status: int | None = None
    code: str | None = None
    request_id: str | None = None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The upstream made a task; `task_id` is never empty."""

    task_id: str
    state: TaskState
    answer: Answer


@dataclass(frozen=True, slots=True)
class Rejected:
    """Provably no task was made."""

    reason: RejectReason
    answer: Answer
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Our `external_task_id` is already taken and has to be looked up."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Unknown:
    """A task may or may not have been made and charged."""

    cause: str
    answer: Answer


SubmitOutcome = Accepted | Rejected | Duplicate | Unknown


@dataclass(frozen=True, slots=True)
class Output:
    """One video of a result.

    `video_id` is the source of the next hop (`SourceKind`): the id of a video or a task, or the result's URL. It is
    None if a gateway forwards only a URL; such a video can't be extended. `duration_ms` is the reported length of the
    file.
    """

    url: str
    video_id: str | None
    watermark_url: str | None
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as a response shows it. SUCCEEDED always has at least one output with a URL.

    `added_ms` is the length that the task added, if the provider reports it, and only with SUCCEEDED. `expires_ms` is
    when the first output's URL stops working, if the URL contains that time (UTC ms).
    """

    task_id: str
    state: TaskState
    status_word: str
    external_task_id: str | None = None
    message: str = ""
    parent_video_id: str | None = None
    parent_url: str | None = None
    parent_duration_ms: int | None = None
    outputs: tuple[Output, ...] = ()
    units_micros: int | None = None
    created_ms: int | None = None
    updated_ms: int | None = None
    added_ms: int | None = None
    expires_ms: int | None = None
    warnings: tuple[str, ...] = ()
    raw: str = ""


class QueryFault(StrEnum):
    """Why a query failed."""

    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"  # the server's certificate is not trusted
    PROXY = "proxy"  # the proxy refuses the tunnel
    NO_KEY = "no_key"  # this process has no usable key, so nothing was sent
    RATE = "rate"
    AUTH = "auth"
    CLOCK = "clock"  # a token was refused while our clock and the response's Date differ
    BALANCE = "balance"
    FORBIDDEN = "forbidden"
    UPSTREAM = "upstream"  # 5xx
    MALFORMED = "malformed"  # a body that can't be parsed


@dataclass(frozen=True, slots=True)
class Found:
    """The task exists."""

    view: TaskView


@dataclass(frozen=True, slots=True)
class NotFound:
    """The upstream states, in a well-formed response, that there is no such task."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """The query gave no information about the task and has to be repeated later."""

    fault: QueryFault
    answer: Answer
    retry_after_s: float | None = None


QueryOutcome = Found | NotFound | QueryFailed


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `malformed` counts rows that could not be parsed; their tasks are polled one by one."""

    views: tuple[TaskView, ...]
    malformed: int
    rows: int


PageOutcome = Page | QueryFailed


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """One extension to submit.

    `source_id` is the source (`SourceKind`). `params` are the hop's parameters, as the provider's models name them. The
    same `external_task_id` is sent on every try of one attempt. `parent_task_id` is the task that made the source, if
    known; only some gateways need it.
    """

    external_task_id: str
    source_id: str
    params: Mapping[str, object] = field(default_factory=dict)
    callback_url: str | None = None
    parent_task_id: str | None = None


class Provider(ABC):
    """One upstream system, for one account. This class has no list, no query for several tasks, and no look-up by our
    own id; a subclass overrides what its upstream offers.

    Methods return a type for every behaviour of an upstream and raise only for a programming error (an argument of the
    wrong shape). Each call blocks for at most the account's deadline, repeats included. Safe to use from several
    threads.
    """

    can_find: bool = False  # look-up by external_task_id (class A)
    list_page_size: int = 0  # largest useful page of list_page; 0 where the provider has no list
    query_batch_size: int = 0  # tasks in one request of query_many; 0 if the provider has no such request

    def __init__(self, client: ApiClient) -> None:
        self.client = client

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.client!r})"

    @abstractmethod
    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return the JSON body that `submit` sends, for the ledger; pure. An image inside the body is replaced by its
        type, size and sha256; everything else is exact. Raises ValueError for a request that config should have
        refused."""

    @abstractmethod
    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. Never retried, never redirected."""

    @abstractmethod
    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by the upstream's id; GETs are retried within limits."""

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look several tasks up, `query_batch_size` in a request; one by one if that is 0.

        A task that is missing in the response, or can't be parsed, is missing in the result and has to be looked up
        alone. If the whole request fails, every task is QueryFailed with the same fault.
        """
        return {task_id: self.query(task_id) for task_id in task_ids}

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id. Fails if the upstream does not store our own ids."""
        return _not_queried(f"this account has no look-up by our own id {external_task_id}")

    def list_page(self, page: int, size: int, *, only: Collection[str] | None = None) -> PageOutcome:  # noqa: ARG002
        """Return one page of the account's tasks, `page` from 1. With `only`, rows of other tasks are counted and not
        read, and a task that runs may have its state and time alone. Fails if the upstream has no list."""
        return _not_queried(f"this account has no list of tasks, and so no page {page} of {size} rows")

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _look_up(self, path: str, task_id: str, read: Callable[[RawResponse], QueryOutcome]) -> QueryOutcome:
        """Query `path/{task_id}`, with the id as one path segment."""
        if task_id in ("", ".", ".."):
            # as a path segment these would name another path
            return _not_queried(f"{task_id!r} can't be a task's id")
        return self.client.query(f"{path}/{quote(task_id, safe='', errors='replace')}", read)


def _not_queried(reason: str) -> QueryFailed:
    return QueryFailed(QueryFault.MALFORMED, Answer(f"{reason}; nothing was sent"))
