"""Settings of a surface: accounts, limits, and how its responses look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

# Whether a result's file is the whole video or only the new frames; docs/upstream/README.md, "What the result file
# contains".
Output = Literal["full", "segment"]
# docs/upstream/README.md, "Error bodies"; "origin" is `{code:int,message,request_id}`.
ErrorShape = Literal["origin", "error_object", "code_text", "error_text", "detail", "detail_object", "success", "html"]


@dataclass(frozen=True)
class KeyAccount:
    """One account of a surface that knows its callers by a key alone."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig:
    """What each of them has. None means: as the sandbox's own setting, but no limit for `balance`.

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
        """Return the first account and the extra ones."""
        return (KeyAccount(self.account, self.key), *self.extra_accounts)

    def problems(self) -> list[str]:
        """Return what is wrong with these settings, a sentence each."""
        low, high = self.run_time or (0, 0)
        keys = [account.key for account in self.accounts]
        return problems_of(
            (self.output not in get_args(Output), f"output must be 'full' or 'segment', got {self.output!r}"),
            (not 0 <= low <= high, f"run_time must be (low, high) with 0 <= low <= high, got {self.run_time}"),
            (self.slots is not None and self.slots < 1, f"slots must be at least 1, got {self.slots}"),
            (self.url_ttl is not None and self.url_ttl <= 0, f"url_ttl must be more than 0 s, got {self.url_ttl}"),
            (len(set(keys)) != len(keys) or "" in keys, "keys must differ and not be empty"),
        )


@dataclass(frozen=True, kw_only=True)
class ResellerConfig(SurfaceConfig):
    """What each reseller has besides: `price` in credits for each extension, and the shape of its error bodies."""

    price: Decimal = Decimal("1")
    error_shape: ErrorShape = "origin"

    def problems(self) -> list[str]:
        """Return what is wrong with these settings, a sentence each."""
        shapes = sorted(get_args(ErrorShape))
        return super().problems() + problems_of(
            (self.price < 0, f"price must not be negative, got {self.price}"),
            (self.error_shape not in shapes, f"error_shape must be one of {shapes}, got {self.error_shape!r}"),
        )


def name_problems(accounts: Iterable[str]) -> list[str]:
    """Return what is wrong with the names of all surfaces' accounts, which share one charge book and must differ."""
    names = list(accounts)
    return problems_of((len(set(names)) != len(names), f"account names must differ, got {names}"))


def problems_of(*problems: tuple[bool, str]) -> list[str]:
    return [message for wrong, message in problems if wrong]
