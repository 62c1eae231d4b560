"""What can be set for Luma."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

from extend_pipeline.sandbox.surface.settings import ErrorShape, Output, SurfaceConfig, problems_of, shape_problem


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
        """Return what is wrong with these settings, a sentence each."""
        return super().problems() + problems_of(
            (self.price < 0, f"price must not be negative, got {self.price}"),
            (self.submit_status not in (200, 201), f"submit_status must be 200 or 201, got {self.submit_status}"),
            (self.error_shape not in get_args(ErrorShape), shape_problem(self.error_shape)),
        )
