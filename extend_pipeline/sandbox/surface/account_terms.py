"""What a surface registers with the sandbox, and what it grants its accounts, in one form for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from starlette.routing import Route

from extend_pipeline.sandbox.config import SandboxConfig
from extend_pipeline.sandbox.store.records import Video
from extend_pipeline.sandbox.surface.links import fresh_link
from extend_pipeline.sandbox.surface.settings import SurfaceConfig

if TYPE_CHECKING:
    from extend_pipeline.sandbox.core import Core
    from extend_pipeline.sandbox.store.foreign_tasks import ForeignTask


class Part(Protocol):
    """Some routes of the application."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        ...


Link = Callable[[str, Video, int, float, bytes], str]
"""From a base URL, a film, now (ms), how long a link works (s) and the key that signs it to the link that the film's
surface gives now."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One pretended provider. `settings` picks its own settings; without it the sandbox's own hold. `parts` make its
    routes. `make_foreign` makes a finished task for `(core, terms, order, account, source id, at_ms)`, or returns why
    not. `by_url`: its sources are URLs, so that its seeds are films that lie in public."""

    provider: str
    unit: str
    settings: Callable[[SandboxConfig], SurfaceConfig] | None
    parts: tuple[Callable[[Core], Part], ...]
    make_foreign: Callable[[Core, Terms, ForeignTask, str, str, int], object]
    link: Link = fresh_link
    by_url: bool = False


@dataclass(frozen=True)
class Terms:
    """`run_time` and `url_ttl` in seconds, `balance` in `unit`s, None meaning no limit."""

    surface: str
    unit: str
    accounts: tuple[str, ...]
    slots: int
    balance: Decimal | None
    run_time: tuple[float, float]
    refund_failed: bool
    segment: bool
    url_ttl: float
    by_url: bool


def all_terms(config: SandboxConfig, surfaces: Iterable[Surface]) -> Mapping[str, Terms]:
    """Return the terms of all surfaces, by provider."""
    return {surface.provider: _terms(config, surface) for surface in surfaces}


def _terms(config: SandboxConfig, surface: Surface) -> Terms:
    own = None if surface.settings is None else surface.settings(config)
    accounts = config.accounts if own is None else own.accounts
    return Terms(
        surface=surface.provider,
        unit=surface.unit,
        accounts=tuple(account.name for account in accounts),
        slots=config.slots if own is None or own.slots is None else own.slots,
        balance=config.balance if own is None else own.balance,
        run_time=config.run_time if own is None or own.run_time is None else own.run_time,
        refund_failed=config.refund_failed if own is None or own.refund_failed is None else own.refund_failed,
        segment=own is not None and own.output == "segment",
        url_ttl=config.url_ttl if own is None or own.url_ttl is None else own.url_ttl,
        by_url=surface.by_url,
    )
