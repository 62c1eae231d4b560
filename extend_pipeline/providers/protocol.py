"""What an upstream can answer, as types. Callers branch on these; nothing here speaks HTTP.

A submit has three ends and never two (docs/upstream/README.md, "Reading the response to a submit"): accepted with a
task id, rejected so that provably nothing was made, or unknown. `Duplicate` is the fourth word of class A only: the
upstream says that our own key is taken, which is evidence of an earlier acceptance and is looked up, never believed or
denied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class TaskState(StrEnum):
    """An upstream task's state in this project's words; an unknown upstream word reads as PROCESSING with a warning."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RejectReason(StrEnum):
    """Why provably nothing was made."""

    UNSENT = "unsent"  # refused, DNS, TLS (but for the next), connect or pool time-out: no byte of the request left
    CERTIFICATE = "certificate"  # who answers shows a certificate that doesn't count here: no byte left
    PROXY = "proxy"  # the proxy lets nothing through, so no byte left
    # the numbers are the business codes of wire/codes.py; other error bodies are read by wire/errors.py
    NO_KEY = "no_key"  # this process has no key that can be sent, so no byte left: its own matter, not the account's
    AUTH = "auth"  # 1000-1004 after one re-mint
    CLOCK = "clock"  # 1003, 1004 while our clock and the answer's Date differ: our clock's fault, not the key's
    BALANCE = "balance"  # 1100-1102: arrears, pack used up
    FORBIDDEN = "forbidden"  # 1103, 1304
    BAD_REQUEST = "bad_request"  # 1200, 1201 (not on our own key), 1202
    NOT_FOUND = "not_found"  # 1203: expired, or another account's
    CONTENT = "content"  # 1300, 1301
    RATE = "rate"  # 1302
    SLOTS = "slots"  # 1303

    @property
    def transient(self) -> bool:
        """Return whether the step is planned again by itself."""
        return self in (RejectReason.UNSENT, RejectReason.RATE, RejectReason.SLOTS)

    @property
    def stops_account(self) -> bool:
        """Return whether nothing more may be submitted through the account until a person has looked, or what is wrong
        here (the clock, whose certificates count, the proxy) is right."""
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
    """What came back, kept as evidence: `raw` is size-capped and scrubbed of secrets."""

    message: str
    http_status: int | None = None
    code: str | None = None
    request_id: str | None = None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The upstream made a task and named it; `task_id` is never empty."""

    task_id: str
    state: TaskState
    answer: Answer


@dataclass(frozen=True, slots=True)
class Rejected:
    """Provably nothing was made."""

    reason: RejectReason
    answer: Answer
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Our own `external_task_id` is already taken: look it up."""

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

    `video_id` is what the next hop extends (`SourceKind`): the id of a video or of a task, or the result's URL. It is
    missing where a gateway passes only a URL; such a video can't be extended. `duration_ms` is the file's, as reported.
    """

    url: str
    video_id: str | None
    watermark_url: str | None
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as a query showed it. SUCCEEDED always carries at least one output with a URL.

    `added_ms` is how much longer the task made its video, where a provider reports just that, and only with
    SUCCEEDED. `expires_ms` is when the first output's URL stops working, where the URL says so; UTC milliseconds.
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
    """Why a query told nothing of the task."""

    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"  # it was reached, and who answered shows a certificate that doesn't count here
    PROXY = "proxy"  # the proxy lets nothing through
    NO_KEY = "no_key"  # this process has no key that can be sent, so nothing was asked
    RATE = "rate"
    AUTH = "auth"
    CLOCK = "clock"  # a token was refused while our clock and the answer's Date differ
    BALANCE = "balance"
    FORBIDDEN = "forbidden"
    UPSTREAM = "upstream"  # 5xx
    MALFORMED = "malformed"  # a body that can't be understood


@dataclass(frozen=True, slots=True)
class Found:
    """The task exists."""

    view: TaskView


@dataclass(frozen=True, slots=True)
class NotFound:
    """The upstream says, in a well-formed answer, that it knows no such task."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """The query told nothing about the task; ask again later."""

    fault: QueryFault
    answer: Answer
    retry_after_s: float | None = None


QueryOutcome = Found | NotFound | QueryFailed


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `malformed` counts rows that could not be understood; they are polled one by one."""

    views: tuple[TaskView, ...]
    malformed: int
    rows: int


PageOutcome = Page | QueryFailed


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """One extension to be asked for.

    `source_id` is what the provider extends (`SourceKind`). `params` are the hop's own, as the provider's models name
    them. The same `external_task_id` goes out on every try of one
    attempt. `parent_task_id` is the task that made the source, where it is known; only some gateways ask for it.
    """

    external_task_id: str
    source_id: str
    params: Mapping[str, object] = field(default_factory=dict)
    callback_url: str | None = None
    parent_task_id: str | None = None


class Provider(Protocol):
    """One upstream system, for one account. Methods never raise for what an upstream does; they answer with a type.

    A programming error (an argument of the wrong shape) does raise. All of them block, for at most the account's
    deadline a call, and may be called from several threads at once.
    """

    can_find: bool  # look-up by external_task_id (class A)
    list_page_size: int  # largest useful page of list_page; 0 where the provider has no list
    many: int  # most tasks that one query_many asks for in one request; 0 where the provider has no such question

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return the JSON body that `submit` sends, for the ledger to keep; pure. An image that goes along inside the
        body is named by its type, size and sha256 instead of its megabytes; everything else is exact."""
        ...

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. Never retried, never redirected."""
        ...

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by the upstream's id; GETs are retried within bounds."""
        ...

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look several tasks up, in one request for each `many` of them; one by one where `many` is 0.

        A task that the answer leaves out, or shows so that it can't be read, is left out here too: ask for it by
        itself. Where the whole question failed, every task is Unanswered with what failed.
        """
        ...

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id."""
        ...

    def list_page(self, page: int, size: int) -> PageOutcome:
        """Return one page of the account's tasks, `page` from 1."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
