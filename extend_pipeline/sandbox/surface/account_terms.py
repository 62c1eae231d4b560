"""What a surface grants its accounts, whichever surface it is: the settings of Kling and of the others, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from extend_pipeline.sandbox.config import SandboxConfig
from extend_pipeline.sandbox.surface.settings import SurfaceConfig

Surface = Literal["kling", "kling-gateway", "vidu", "luma"]


@dataclass(frozen=True)
class Terms:
    """`run_time` and `url_ttl` in seconds, `balance` in `unit`s, None meaning no limit."""

    surface: Surface
    unit: str
    accounts: tuple[str, ...]
    slots: int
    balance: Decimal | None
    run_time: tuple[float, float]
    refund_failed: bool
    segment: bool
    url_ttl: float


def all_terms(config: SandboxConfig) -> Mapping[str, Terms]:
    """The terms of all four surfaces, by name."""
    kling = Terms(
        surface="kling",
        unit="kling-unit",
        accounts=tuple(account.name for account in config.accounts),
        slots=config.slots,
        balance=config.balance,
        run_time=config.run_time,
        refund_failed=config.refund_failed,
        segment=False,
        url_ttl=config.url_ttl,
    )
    return {
        "kling": kling,
        "kling-gateway": _terms("kling-gateway", "credit", config.gateway, kling),
        "vidu": _terms("vidu", "CNY", config.vidu, kling),
        "luma": _terms("luma", "credit", config.luma, kling),
    }


def _terms(surface: Surface, unit: str, own: SurfaceConfig, default: Terms) -> Terms:
    return Terms(
        surface=surface,
        unit=unit,
        accounts=tuple(account.name for account in own.accounts),
        slots=default.slots if own.slots is None else own.slots,
        balance=own.balance,
        run_time=default.run_time if own.run_time is None else own.run_time,
        refund_failed=default.refund_failed if own.refund_failed is None else own.refund_failed,
        segment=own.output == "segment",
        url_ttl=default.url_ttl if own.url_ttl is None else own.url_ttl,
    )
