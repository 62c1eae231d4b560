"""What a provider must answer for: every decision of this package that depends on which provider it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from extend_pipeline.config.model.provider import ProviderConfig
from extend_pipeline.providers.protocol import Provider, QueryFailed


class SourceKind(StrEnum):
    """What a submit names the video by that it extends."""

    ID = "id"  # of a video or task of the same account
    URL = "url"  # that the provider fetches, and that must be reachable while the task runs


class ResultKind(StrEnum):
    """What the file of a result holds, by the provider's documents."""

    FULL = "full"  # the parent and what was added
    SEGMENT = "segment"  # only what was added
    MEASURED = "measured"  # not documented: each file is compared with its parent


class LookUp(StrEnum):
    """How a submit without an answer can be looked up; an account's submit class chooses one of those there are."""

    OWN_KEY = "own_key"  # class A: by the external_task_id that it carried; a key that is taken makes no second task
    CALLBACK = "callback"  # class C: a callback may name the task
    NOTHING = "nothing"  # class D: an operator must look


class Deadlines(Protocol):
    """The settings that a provider is built with: how long a call may take, from its first look-up to its last byte."""

    @property
    def post_deadline_s(self) -> float:
        """For a submit, in seconds."""
        ...

    @property
    def get_deadline_s(self) -> float:
        """For a query, repeats included, in seconds."""
        ...


class Build(Protocol):
    """Make the client of one account. Nothing is sent yet, and no secret is read."""

    def __call__(self, account: Any, settings: Deadlines, now: Callable[[], float]) -> Provider:
        """Build it; `account` is of the provider's own class, `now` is seconds of UTC since 1970. Raises ValueError for
        an account that signs in in a way that the provider hasn't."""
        ...


@dataclass(frozen=True, slots=True)
class Bill:
    """A provider's own bill of a period: micro-units by task, which may be negative. `paid_otherwise` are tasks that
    money was taken for instead, or besides; None where that was not answered. Where the bill is not `whole`, a task
    that is missing in it proves nothing."""

    micros: Mapping[str, int]
    paid_otherwise: frozenset[str] | None
    whole: bool


class ReadBill(Protocol):
    """Read a provider's bill."""

    def __call__(
        self, provider: Provider, since_ms: int, until_ms: int, *, pause: Callable[[float], None]
    ) -> Bill | QueryFailed:
        """Read the bill of the tasks that were created in a period (UTC ms, the end left out). `pause` waits so many
        seconds between requests."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ProviderSpec(ProviderConfig):
    """One provider. Nothing has a default, so that the type checker asks the author of a provider about each trait:
    most of them decide what is paid for, or what is believed to have been paid."""

    source_kind: SourceKind

    source_range_ms: tuple[int, int] | None
    """The shortest and the longest file that a hop may start from, in ms; the source is fetched and measured before its
    first hop. None where no limit is documented."""

    source_life_ms: int | None
    """For how long after its making a video can be extended, in ms; None where no limit is documented."""

    result_kind: ResultKind

    result_life_ms: int
    """For how long a result can be fetched, in ms, where the result doesn't say."""

    refreshes_urls: bool
    """Whether asking for a task again gives a fresh URL of its result."""

    reports_parent: bool
    """Whether a task says which video it was made from and where that lies: then a source need not be fetched before
    its first hop, and a task that says nothing of it was not made by extending."""

    look_ups: frozenset[LookUp]

    has_list: bool
    """Whether `list_page` reads all tasks of an account."""

    bill: ReadBill | None

    callback: Callable[[bytes], str | None] | None
    """Return the id of the task that a callback's body names; None where it names none. None where the provider calls
    nobody back."""

    submit_path: Callable[[str, Any], str]
    """Where below the base URL a source (its id or URL) is asked to be extended, so that an operator can look for the
    very request; the second argument is the account, None where it is not known any more."""

    build: Build
