"""The pretended providers; the first is meant where a seed or an order names none."""

from __future__ import annotations

from typing import Final

from extend_pipeline.sandbox.kling.spec import SURFACE as KLING
from extend_pipeline.sandbox.kling_gateway.spec import SURFACE as KLING_GATEWAY
from extend_pipeline.sandbox.luma.spec import SURFACE as LUMA
from extend_pipeline.sandbox.surface.account_terms import Surface
from extend_pipeline.sandbox.vidu.spec import SURFACE as VIDU

SURFACES: Final[tuple[Surface, ...]] = (KLING, KLING_GATEWAY, VIDU, LUMA)
