"""The providers that this version supports: one entry each, one module each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from pydantic import BaseModel

from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.fields.text import aliases
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource, Extend, Source
from extend_pipeline.config.providers import kling, kling_gateway, luma, vidu

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class Provider:
    """What the configuration knows of a provider.

    The account model carries the defaults (price, submit class, poll, download hosts). `least_added_ms` and
    `most_added_ms` bound what one extension adds, unless the user chooses it; `longest_ms` bounds the whole video and
    `source_range_ms` the file that a hop starts from. `source_life_ms` is for how long after its making a video can be
    extended, `result_life_ms` for how long a result is kept where it does not say so itself. None is no limit.
    `price_keys` are what prices may be given by, besides one number for all. `defaults` are the values of a step's
    parameters that the provider documents for those that are left out.
    """

    name: str
    source: type[Source]
    extend: type[Extend]
    account: type[Account]
    least_added_ms: int
    most_added_ms: int
    longest_ms: int | None
    source_life_ms: int | None
    result_life_ms: int
    source_range_ms: tuple[int, int] | None
    modes: tuple[str, ...]
    price_keys: Collection[str]
    check: Callable[..., Iterator[FieldIssue]]
    defaults: Mapping[str, object]


PROVIDERS: Final[Mapping[str, Provider]] = {
    "kling": Provider(
        name="kling",
        source=kling.KlingSource,
        extend=kling.KlingExtend,
        account=kling.KlingAccount,
        # 4 to 5 s a hop, 180 s in all, kept for 30 days (docs/upstream/kling.md, "Length" and "Retention")
        least_added_ms=4_000,
        most_added_ms=5_000,
        longest_ms=180_000,
        source_life_ms=30 * _DAY_MS,
        result_life_ms=30 * _DAY_MS,
        source_range_ms=None,
        modes=kling.MODES,
        price_keys=kling.MODES,
        check=kling.check,
        defaults=kling.DEFAULTS,
    ),
    "kling-gateway": Provider(
        name="kling-gateway",
        source=kling_gateway.GatewaySource,
        extend=kling_gateway.GatewayExtend,
        account=kling_gateway.GatewayAccount,
        # Kling's, which is what answers behind the gateway
        least_added_ms=4_000,
        most_added_ms=5_000,
        longest_ms=180_000,
        source_life_ms=30 * _DAY_MS,
        result_life_ms=30 * _DAY_MS,
        source_range_ms=None,
        modes=kling.MODES,
        price_keys=kling.MODES,
        check=kling_gateway.check,
        defaults=kling.DEFAULTS,
    ),
    "vidu": Provider(
        name="vidu",
        source=vidu.ViduSource,
        extend=vidu.ViduExtend,
        account=vidu.ViduAccount,
        # 1 to 7 s as the user chooses, from a file of 4 to 60 s (docs/upstream/vidu.md, "Source"); 24 h is Vidu's own
        # rule for results
        least_added_ms=vidu.MIN_SECONDS * 1000,
        most_added_ms=vidu.MAX_SECONDS * 1000,
        longest_ms=vidu.MAX_MS,
        source_life_ms=None,
        result_life_ms=_DAY_MS,
        source_range_ms=vidu.SOURCE_RANGE_MS,
        modes=(),
        price_keys=vidu.PRICE_KEYS,
        check=vidu.check,
        defaults={},  # the entry's own defaults are written into every step
    ),
    "luma": Provider(
        name="luma",
        source=luma.LumaSource,
        extend=luma.LumaExtend,
        account=luma.LumaAccount,
        # "about 5 s" is all that is known; results outlive presigned URLs, which say themselves when they end
        least_added_ms=4_000,
        most_added_ms=6_000,
        longest_ms=None,
        source_life_ms=None,
        result_life_ms=_DAY_MS,
        source_range_ms=None,
        modes=(),
        price_keys=(),
        check=luma.check,
        defaults={},  # none is documented (docs/upstream/luma.md, "Submit")
    ),
}


def columns() -> frozenset[str]:
    """The dotted column names of catalog.csv: what any provider knows."""
    names = {"key", "account", "was", "again"}
    names |= {f"source.{name}" for name in (*aliases(BranchSource), *owners("source"))}
    names |= {f"extend.{name}" for name in owners("extend")}
    return frozenset(names)


@cache
def owners(part: Literal["source", "extend", "account"]) -> Mapping[str, tuple[str, ...]]:
    """The providers by the fields that their sources, extends or accounts have."""
    found: dict[str, tuple[str, ...]] = {}
    for provider in PROVIDERS.values():
        models: Mapping[str, type[BaseModel]] = {
            "source": provider.source,
            "extend": provider.extend,
            "account": provider.account,
        }
        for name in aliases(models[part]):
            found[name] = (*found.get(name, ()), provider.name)
    return found
