"""Kling, as the sandbox knows it."""

from __future__ import annotations

from typing import Final

from extend_pipeline.sandbox.kling.billing import BillingSurface
from extend_pipeline.sandbox.kling.surface import KlingSurface
from extend_pipeline.sandbox.kling.tasks import NAME, make_foreign
from extend_pipeline.sandbox.surface.account_terms import Surface

SURFACE: Final = Surface(
    provider=NAME,
    unit="kling-unit",
    settings=None,
    parts=(KlingSurface, BillingSurface),
    make_foreign=make_foreign,
)
