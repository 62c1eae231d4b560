"""What can be set for Vidu."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.sandbox.surface.settings import Output, SurfaceConfig


@dataclass(frozen=True, kw_only=True)
class ViduConfig(SurfaceConfig):
    """Vidu through ModelVerse (docs/upstream/vidu.md); charges CNY by model, resolution and seconds.

    `url_ttl` counts from the task's end, and no query makes a result's URL live longer.
    """

    account: str = "vidu"
    key: str = "sandbox-vidu-key"
    output: Output = "full"
    url_ttl: float | None = 86400.0
