"""The providers that this version supports: one line each, one module each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from extend_pipeline.config import kling
from extend_pipeline.config.accounts import Account
from extend_pipeline.config.catalogue import BranchSource, Extend, Source
from extend_pipeline.config.complaints import Complaint
from extend_pipeline.config.fields import written_names


@dataclass(frozen=True)
class Provider:
    """What the configuration knows of a provider.

    The account model carries the defaults (price, submit class, poll, download hosts). `least_added_ms` and
    `most_added_ms` bound what one extension adds, `longest_ms` the whole video; None is no limit.
    """

    name: str
    source: type[Source]
    extend: type[Extend]
    account: type[Account]
    least_added_ms: int
    most_added_ms: int
    longest_ms: int | None
    modes: tuple[str, ...]
    check: Callable[..., Iterator[Complaint]]


PROVIDERS: Final[Mapping[str, Provider]] = {
    "kling": Provider(
        name="kling",
        source=kling.KlingSource,
        extend=kling.KlingExtend,
        account=kling.KlingAccount,
        # "each extension can add 4 to 5 seconds", "cannot exceed 3 minutes" (upstream/000)
        least_added_ms=4_000,
        most_added_ms=5_000,
        longest_ms=180_000,
        modes=kling.MODES,
        check=kling.check,
    ),
}

# known to the design, not to this version: named in the error, so that nobody looks for a typing mistake
PLANNED: Final = ("kling-gateway", "vidu", "luma")


def columns() -> frozenset[str]:
    """The dotted column names of catalog.csv: what any provider knows."""
    names = {"key", "account"}
    names |= {f"source.{name}" for name in written_names(BranchSource)}
    for provider in PROVIDERS.values():
        names |= {f"source.{name}" for name in written_names(provider.source)}
        names |= {f"extend.{name}" for name in written_names(provider.extend)}
    return frozenset(names)
