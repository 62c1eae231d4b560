"""The traits of a provider: every property in which providers differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from extend_pipeline.config.model.provider import ProviderConfig
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.protocol import Provider, QueryFailed


class SourceKind(StrEnum):
    """How a submit names the video to extend."""

    ID = "id"  # the id of a video or task of the same account
    URL = "url"  # the provider fetches it, so it must be reachable while the task runs


class ResultKind(StrEnum):
    """What the file of a result contains, according to the provider's documents."""

    FULL = "full"  # the parent, then the new part
    SEGMENT = "segment"  # only the new part
    MEASURED = "measured"  # not documented: each file is compared with its parent


class LookUp(StrEnum):
    """How a submit without a response can be looked up; an account's submit class selects one of them."""

    OWN_KEY = "own_key"  # class A: by its external_task_id; submitting the same key again makes no second task
    CALLBACK = "callback"  # class C: by the task id in a callback
    NOTHING = "nothing"  # class D: only by an operator


@dataclass(frozen=True, slots=True)
class Bill:
    """A provider's own bill for a period: micro-units by task, which may be negative. `paid_otherwise` are the tasks
    that were charged in money, instead or in addition; None if that query failed. If the bill is not `whole`, a task
    that is missing in it may still have been charged."""

    micros: Mapping[str, int]
    paid_otherwise: frozenset[str] | None
    whole: bool


ReadBill = Callable[[Provider, int, int, Callable[[float], None]], Bill | QueryFailed]
"""Reads the bill of the tasks created in a period: provider, beginning and end (UTC ms, exclusive), and a function that
waits the given seconds between requests."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProviderSpec(ProviderConfig):
    """The traits of one provider. None has a default, so that the author of a provider decides each one: most of them
    determine what is paid for, or what counts as paid."""

    source_kind: SourceKind

    source_range_ms: tuple[int, int] | None
    """The shortest and longest source of a hop, in ms; the source is fetched and measured before its first hop. None
    without a documented limit."""

    source_life_ms: int | None
    """How long after its creation a video can be extended, in ms; None without a documented limit."""

    result_kind: ResultKind

    result_life_ms: int
    """How long a result can be fetched, in ms, unless the result states its expiry."""

    refreshes_urls: bool
    """Whether another query of a task returns a fresh URL of its result."""

    reports_parent: bool
    """Whether a task on the provider's list reports the video that it extended. Then a task without one was not made by
    an extension, and reconciliation doesn't ask whose it is."""

    reports_source_url: bool
    """Whether the task of a first hop reports the URL of its source, so that the source is fetched with the first
    result, for the film, and not before the first hop. Then `source_range_ms` is None."""

    look_ups: frozenset[LookUp]

    has_list: bool
    """Whether `list_page` reads all tasks of an account."""

    bill: ReadBill | None

    callback: Callable[[bytes], str | None] | None
    """Returns the task id in a callback's body, or None. None if the provider sends no callbacks."""

    submit_path: Callable[[str, Any], str]
    """Returns the path, below the base URL, of the submit that extends a source (its id or URL), so that an operator
    can find the request at the provider. The second argument is the account, or None if it has been removed."""

    build: Callable[[Any, Settings, Callable[[], float]], Provider]
    """Returns the client of an account (of `account`'s class). The third argument returns seconds of UTC since 1970.
    Sends nothing and reads no secret. Raises ValueError for credentials of a kind that the provider does not use."""
