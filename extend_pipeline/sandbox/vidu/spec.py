"""Vidu, as the sandbox knows it."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from extend_pipeline.sandbox.surface.account_terms import Surface
from extend_pipeline.sandbox.vidu.sources import link
from extend_pipeline.sandbox.vidu.surface import ViduSurface
from extend_pipeline.sandbox.vidu.tasks import NAME, make_foreign

SURFACE: Final = Surface(
    provider=NAME,
    unit="CNY",
    settings=attrgetter("vidu"),
    parts=(ViduSurface,),
    make_foreign=make_foreign,
    link=link,
    by_url=True,
)
