"""What can be set for Kling through a reseller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from extend_pipeline.sandbox.surface.settings import Output, ResellerConfig, problems_of

Passed = Literal["task_id", "negative_prompt", "cfg_scale", "callback_url", "external_task_id", "watermark"]
Timestamps = Literal["ms", "seconds", "text"]


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
class GatewayConfig(ResellerConfig):
    """Kling through a reseller (docs/upstream/kling-gateway.md).

    `passes`: the fields taken beside `video_id` and `prompt`. `finds_own_ids`: a query finds tasks by the
    `external_task_id` that was passed, as Kling's does. `origin_units`: leave Kling's own
    `final_unit_deduction` in the bodies, which is not what the reseller charges.
    """

    account: str = "gateway"
    key: str = "sandbox-gateway-key"
    output: Output = "full"
    passes: frozenset[Passed] = frozenset()
    finds_own_ids: bool = False
    reserialised: Reserialised | None = None
    origin_units: bool = False

    def problems(self) -> list[str]:
        """Return what is wrong with these settings, a sentence each."""
        strange = sorted(set(self.passes) - set(get_args(Passed)))
        times = "ms" if self.reserialised is None else self.reserialised.timestamps
        return super().problems() + problems_of(
            (bool(strange), f"passes may hold {sorted(get_args(Passed))}, got {strange}"),
            (times not in get_args(Timestamps), f"timestamps must be 'ms', 'seconds' or 'text', got {times!r}"),
        )
