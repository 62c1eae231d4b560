"""What can be set for one of the three surfaces beside Kling: keys, prices, limits, and how its answers look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

# Whether a result's file is the whole video or only the new frames; docs/upstream/README.md, "What the result file
# contains".
Output = Literal["full", "segment"]
# docs/upstream/README.md, "Error bodies"; "kling" is `{code:int,message,request_id}`.
ErrorShape = Literal["kling", "error_object", "code_text", "error_text", "detail", "detail_object", "success", "html"]
Passed = Literal["task_id", "negative_prompt", "cfg_scale", "callback_url", "external_task_id", "watermark"]
Timestamps = Literal["ms", "seconds", "text"]


@dataclass(frozen=True)
class KeyAccount:
    """One account of a surface that knows its callers by a key alone."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Reserialised:
    """How a reseller writes Kling's bodies anew: `timestamps` in ms, seconds or text (of ms), `code` of a success.

    `reorder` turns the order of keys round; `url_only` leaves a finished video nothing but its `url`.
    """

    timestamps: Timestamps = "seconds"
    code: int = 200
    reorder: bool = True
    url_only: bool = False


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig:
    """What every one of the three has. None means: as the sandbox's own setting, but no limit for `balance`.

    `run_time` and `url_ttl` in seconds, `balance` in the surface's own unit. `extra_accounts` share nothing with the
    first but the server.
    """

    account: str
    key: str
    output: Output
    extra_accounts: tuple[KeyAccount, ...] = ()
    run_time: tuple[float, float] | None = None
    slots: int | None = None
    balance: Decimal | None = None
    refund_failed: bool | None = None
    url_ttl: float | None = None

    @property
    def accounts(self) -> tuple[KeyAccount, ...]:
        """The first account and the extra ones."""
        return (KeyAccount(self.account, self.key), *self.extra_accounts)

    def problems(self) -> list[str]:
        """What is wrong with these settings, a sentence each."""
        low, high = self.run_time or (0, 0)
        keys = [account.key for account in self.accounts]
        return _told(
            (self.output not in get_args(Output), f"output must be 'full' or 'segment', got {self.output!r}"),
            (not 0 <= low <= high, f"run_time must be (low, high) with 0 <= low <= high, got {self.run_time}"),
            (self.slots is not None and self.slots < 1, f"slots must be at least 1, got {self.slots}"),
            (self.url_ttl is not None and self.url_ttl <= 0, f"url_ttl must be more than 0 s, got {self.url_ttl}"),
            (len(set(keys)) != len(keys) or "" in keys, "keys must differ and not be empty"),
        )


@dataclass(frozen=True, kw_only=True)
class GatewayConfig(SurfaceConfig):
    """Kling through a reseller (docs/upstream/kling-gateway.md). `price` in credits for each extension.

    `passes`: the fields taken beside `video_id` and `prompt`. `finds_own_ids`: a query finds tasks by the
    `external_task_id` that was passed, as Kling's does. `origin_units`: leave Kling's own
    `final_unit_deduction` in the bodies, which is not what the reseller charges.
    """

    account: str = "gateway"
    key: str = "sandbox-gateway-key"
    output: Output = "full"
    price: Decimal = Decimal("1")
    passes: frozenset[Passed] = frozenset()
    finds_own_ids: bool = False
    reserialised: Reserialised | None = None
    error_shape: ErrorShape = "kling"
    origin_units: bool = False

    def problems(self) -> list[str]:
        """What is wrong with these settings, a sentence each."""
        strange = sorted(set(self.passes) - set(get_args(Passed)))
        times = "ms" if self.reserialised is None else self.reserialised.timestamps
        return super().problems() + _told(
            (self.price < 0, f"price must not be negative, got {self.price}"),
            (bool(strange), f"passes may hold {sorted(get_args(Passed))}, got {strange}"),
            (times not in get_args(Timestamps), f"timestamps must be 'ms', 'seconds' or 'text', got {times!r}"),
            (self.error_shape not in get_args(ErrorShape), _shape_told(self.error_shape)),
        )


@dataclass(frozen=True, kw_only=True)
class ViduConfig(SurfaceConfig):
    """Vidu through ModelVerse (docs/upstream/vidu.md); charges CNY by model, resolution and seconds.

    `url_ttl` counts from the task's end, and no query makes a result's URL live longer.
    """

    account: str = "vidu"
    key: str = "sandbox-vidu-key"
    output: Output = "full"
    url_ttl: float | None = 86400.0


@dataclass(frozen=True, kw_only=True)
class LumaConfig(SurfaceConfig):
    """Luma through a reseller (docs/upstream/luma.md). `price` in credits for each extension; `submit_status` 200 or
    201.

    `raw_duration`: whether `video_raw` has a `duration`; `clean_url`: whether `download_url` is filled;
    `failure_reason`: whether a failed generation says why.
    """

    account: str = "luma"
    key: str = "sandbox-luma-key"
    output: Output = "segment"
    url_ttl: float | None = 3600.0
    price: Decimal = Decimal("1")
    submit_status: int = 200
    raw_duration: bool = False
    clean_url: bool = True
    failure_reason: bool = True
    error_shape: ErrorShape = "error_object"

    def problems(self) -> list[str]:
        """What is wrong with these settings, a sentence each."""
        return super().problems() + _told(
            (self.price < 0, f"price must not be negative, got {self.price}"),
            (self.submit_status not in (200, 201), f"submit_status must be 200 or 201, got {self.submit_status}"),
            (self.error_shape not in get_args(ErrorShape), _shape_told(self.error_shape)),
        )


def name_problems(accounts: Iterable[str]) -> list[str]:
    """Accounts of all surfaces share one charge book, so that their names must differ."""
    names = list(accounts)
    return _told((len(set(names)) != len(names), f"account names must differ, got {names}"))


def _shape_told(given: str) -> str:
    return f"error_shape must be one of {sorted(get_args(ErrorShape))}, got {given!r}"


def _told(*problems: tuple[bool, str]) -> list[str]:
    return [message for wrong, message in problems if wrong]
