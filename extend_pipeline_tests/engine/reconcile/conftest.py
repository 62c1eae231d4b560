"""Homes whose charges are compared with a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from extend_pipeline.engine.home import Pipeline
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import other_account, planted


@pytest.fixture
def billed(make_home: Callable[..., EngineHome]) -> EngineHome:
    """Return a home whose sandbox bills at once, and whose account has no other customer."""
    home = make_home(billing_delay=0, billing_interval=0)
    home.account = {"adopt_orphans": "all"}
    return home


@pytest.fixture
def resold(home: EngineHome) -> Iterator[tuple[EngineHome, Pipeline, JumpClock]]:
    """Yield an open home with three finished extensions of a gateway's account."""
    entries = [planted(home, "kling-gateway", number) for number in range(3)]
    home.write(entries, other_account("kling-gateway", home.sandbox.base_url, adopt_orphans="all"))
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        yield home, pipeline, clock
