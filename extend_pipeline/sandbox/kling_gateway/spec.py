"""Kling through a reseller, as the sandbox knows it."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from extend_pipeline.sandbox.kling.tasks import make_foreign
from extend_pipeline.sandbox.kling_gateway.surface import NAME, GatewaySurface
from extend_pipeline.sandbox.surface.account_terms import Surface

SURFACE: Final = Surface(
    provider=NAME,
    unit="credit",
    settings=attrgetter("gateway"),
    parts=(GatewaySurface,),
    make_foreign=make_foreign,
)
