"""Luma, as the sandbox knows it."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from extend_pipeline.sandbox.luma.surface import LumaSurface
from extend_pipeline.sandbox.luma.tasks import NAME, link, make_foreign
from extend_pipeline.sandbox.surface.account_terms import Surface

SURFACE: Final = Surface(
    provider=NAME,
    unit="credit",
    settings=attrgetter("luma"),
    parts=(LumaSurface,),
    make_foreign=make_foreign,
    link=link,
)
