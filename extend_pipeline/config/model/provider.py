"""What the configuration needs of a provider. Callers pass the providers, which are above this package
(`extend_pipeline.providers.registry.PROVIDERS`)."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import BaseModel

from extend_pipeline.config.fields.text import aliases
from extend_pipeline.config.issues import FieldIssue
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource
from extend_pipeline.config.model.source import Source
from extend_pipeline.config.model.target import Target


@dataclass(frozen=True, kw_only=True, eq=False)
class ProviderConfig:
    """One provider's models of the catalogue and of the accounts, its checks and limits.

    No field has a default, so that the type checker requires each one of a new provider. Instances compare by identity,
    so that they can be keys of a cache.
    """

    name: str
    """The value of `provider:` in an account. It is stored with every attempt and is part of the names of steps."""

    source: type[Source]
    extend: type[Target]
    account: type[Account]
    """The account class, with the provider's defaults: price, submit class, polling, paths."""

    check: Callable[..., Iterator[FieldIssue]]
    """Cross-field rules: `check(source=, root=, extend=, account=)` yields combinations that the provider refuses even
    though each field is valid. `source` is None for a branch; `root` is the source that a branch leads back to. What
    could not be read is None."""

    added_ms: Callable[[Target | None], tuple[int, int]]
    """The minimum and the maximum that one extension adds, in ms; equal if the user chooses it. For None it returns the
    bounds over all extensions."""

    longest_ms: int | None
    """The longest whole video, in ms; None if no limit is documented."""

    modes: tuple[str, ...]
    """Modes of a source, if the price depends on them."""

    price_keys: Collection[str]
    """Keys of a price table; a price may also be one number for all extensions."""

    price_key: Callable[[str | None, Mapping[str, object]], str | None]
    """Returns the price key of one extension by the source's mode and the hop's parameters; None if neither is known or
    if all extensions cost the same. `a/b/c` takes the price of `a/b`, else of `a`, if it has none."""


Providers = tuple[ProviderConfig, ...]
Part = Literal["source", "extend", "account"]


def always_adds(min_ms: int, max_ms: int) -> Callable[[Target | None], tuple[int, int]]:
    """Return the `added_ms` of a provider that chooses how much an extension adds."""
    return lambda _extend: (min_ms, max_ms)


@cache
def by_name(providers: Providers) -> Mapping[str, ProviderConfig]:
    """Return the providers by their names, in their order."""
    return {provider.name: provider for provider in providers}


@cache
def owners(providers: Providers, part: Part) -> Mapping[str, tuple[str, ...]]:
    """Return the names of the providers by the fields that their sources, extends or accounts have."""
    names: dict[str, tuple[str, ...]] = {}
    for provider in providers:
        model: type[BaseModel] = getattr(provider, part)
        for field in aliases(model):
            names[field] = (*names.get(field, ()), provider.name)
    return names


def columns(providers: Providers) -> frozenset[str]:
    """Return the dotted column names of catalog.csv: the fields that any provider has."""
    names = {"key", "account", "was", "again"}
    names |= {f"source.{name}" for name in (*aliases(BranchSource), *owners(providers, "source"))}
    names |= {f"extend.{name}" for name in owners(providers, "extend")}
    return frozenset(names)
