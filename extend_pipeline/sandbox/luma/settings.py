"""What can be set for Luma."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.sandbox.surface.settings import ErrorShape, Output, ResellerConfig, problems_of


@dataclass(frozen=True, kw_only=True)
class LumaConfig(ResellerConfig):
    """Luma through a reseller (docs/upstream/luma.md). `submit_status` is 200 or 201.

    `raw_duration`: whether `video_raw` has a `duration`; `clean_url`: whether `download_url` is filled;
    `failure_reason`: whether a failed generation says why.
    """

    account: str = "luma"
    key: str = "sandbox-luma-key"
    output: Output = "segment"
    url_ttl: float | None = 3600.0
    submit_status: int = 200
    raw_duration: bool = False
    clean_url: bool = True
    failure_reason: bool = True
    error_shape: ErrorShape = "error_object"

    def problems(self) -> list[str]:
        """Return what is wrong with these settings, a sentence each."""
        return super().problems() + problems_of(
            (self.submit_status not in (200, 201), f"submit_status must be 200 or 201, got {self.submit_status}"),
        )
