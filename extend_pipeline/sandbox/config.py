"""Settings of a sandbox: accounts, prices, run times, limits, the look of its films."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal

from extend_pipeline.sandbox.kling_gateway.settings import GatewayConfig
from extend_pipeline.sandbox.luma.settings import LumaConfig
from extend_pipeline.sandbox.surface.settings import SurfaceConfig, name_problems
from extend_pipeline.sandbox.vidu.settings import ViduConfig


class SandboxError(Exception):
    """The sandbox cannot do what was asked; the message says why and what would do."""


@dataclass(frozen=True)
class SandboxAccount:
    """One account of the pretended provider, with both ways of proving who calls."""

    name: str
    access_key: str
    secret_key: str
    api_key: str


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A video that exists before any extension: `duration` in seconds, `created_at` None meaning now.

    `provider` is whose it is, None meaning the first surface's. Where sources are URLs, the sandbox serves the film
    under `/_sandbox/media/`; `video_url` names one more URL that shall be known as this film.
    """

    video_id: str
    duration: float
    model: str = "kling-v1-6"
    mode: str = "std"
    created_at: datetime | None = None
    account: str | None = None
    provider: str | None = None
    video_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class SandboxConfig:
    """Everything that can be set; the defaults make a patient upstream with no limits on money.

    Times are in seconds, prices and `balance` in units. `run_time` is the range that each task's run time is drawn
    from. `extra_accounts` share nothing with the first but the server. `share_media` lets films of equal make-up
    share one file, and draws the added length from the parent's length, so that sharing keeps every prefix exact.

    `billing_delay` is how long Kling's bills lag behind its charges, `billing_interval` how far apart an account's
    requests to one billing route have to be, and `billing_page` the most rows that a page of the bill holds. With
    `postpaid` Kling takes money from a balance instead of units from a pack, and bills it by another route.

    Fields of type `SurfaceConfig` are the settings of one surface each; all others are Kling's, or of all surfaces.
    """

    account: str = "sandbox"
    access_key: str = "sandbox-access"
    # not a secret: a double on localhost has to accept something that tests and demo can write down
    secret_key: str = "sandbox-secret-of-32-bytes-or-more"  # noqa: S105
    api_key: str = "sandbox-api-key"
    extra_accounts: tuple[SandboxAccount, ...] = ()
    seeds: tuple[Seed | Mapping[str, object], ...] = ()
    seed: int = 0
    run_time: tuple[float, float] = (2.0, 4.0)
    slots: int = 20
    balance: Decimal | None = None
    price_std: Decimal = Decimal("2")
    price_pro: Decimal = Decimal("3.5")
    refund_failed: bool = True
    url_ttl: float = 30 * 86400.0
    billing_delay: float = 12 * 3600.0
    billing_interval: float = 1.0
    billing_page: int = 500
    postpaid: bool = False
    now_offset: float = 0.0
    width: int = 320
    height: int = 180
    fps: int = 12
    share_media: bool = False
    webhook_secret: str | None = None
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    vidu: ViduConfig = field(default_factory=ViduConfig)
    luma: LumaConfig = field(default_factory=LumaConfig)

    def __post_init__(self) -> None:
        low, high = self.run_time
        names = [account.name for account in self.accounts]
        problems = [
            (not 0 <= low <= high, f"run_time must be (low, high) with 0 <= low <= high, got {self.run_time}"),
            (self.slots < 1, f"slots must be at least 1, got {self.slots}"),
            (self.url_ttl <= 0, f"url_ttl must be more than 0 seconds, got {self.url_ttl}"),
            (self.billing_delay < 0, f"billing_delay must not be negative, got {self.billing_delay}"),
            (self.billing_interval < 0, f"billing_interval must not be negative, got {self.billing_interval}"),
            (not 1 <= self.billing_page <= 500, f"billing_page must be 1 to 500 rows, got {self.billing_page}"),
            (not 1 <= self.fps <= 60, f"fps must be 1 to 60, got {self.fps}"),
            (
                min(self.width, self.height) < 64 or self.width % 2 != 0 or self.height % 2 != 0,
                f"width and height must be even and at least 64, got {self.width}x{self.height}",
            ),
        ]
        messages = [message for wrong, message in problems if wrong]
        messages += [f"{name}.{problem}" for name, other in self.others.items() for problem in other.problems()]
        names += [account.name for other in self.others.values() for account in other.accounts]
        messages += name_problems(names)
        if messages:
            raise SandboxError("; ".join(messages))

    @property
    def others(self) -> Mapping[str, SurfaceConfig]:
        """Return the settings of the surfaces that have their own, by the names of their fields."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in values if isinstance(value, SurfaceConfig)}

    @property
    def accounts(self) -> tuple[SandboxAccount, ...]:
        """Return the first account and the extra ones."""
        first = SandboxAccount(self.account, self.access_key, self.secret_key, self.api_key)
        return (first, *self.extra_accounts)
