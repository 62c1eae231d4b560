"""What must not lead to a purchase: a rounded id, which may name an unrelated video, and a budget of 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.config.issues import ConfigError
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, drive, entry

ROUNDED = "827942411241804000"


def charge_count(home: EngineHome) -> int:
    """Return the number of the sandbox's charges."""
    return len(home.sandbox.charges()["charges"])


def test_a_rounded_id_of_an_existing_video_is_bought_only_when_it_is_declared_exact(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.sandbox.seed([{"video_id": ROUNDED, "duration": 5.0}])
    written: dict[str, Any] = entry("v", ROUNDED)
    home.write([written])
    with pytest.raises(ConfigError) as caught, home.open():
        pass
    assert [problem.field for problem in caught.value.problems] == ["source.video_id"]
    assert charge_count(home) == 0
    home.catalogue([{**written, "source": {**written["source"], "exact": True}}])
    with home.open() as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
    assert charge_count(home) == 1


def test_a_budget_of_0_buys_nothing_and_fetches_what_was_bought_before(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(2, steps=1)
    with home.open() as pipeline:
        drive(pipeline)
    home.accounts(account(home.sandbox.base_url, budget=0))
    home.sandbox.seed([{"video_id": "9", "duration": 5.0}])
    home.catalogue([entry("late", "9", steps=1)])
    with home.open() as pipeline:
        (late,) = drive(pipeline).videos
    assert late.blocker is not None
    assert late.blocker.reason is BlockReason.TOTAL_BUDGET
    assert charge_count(home) == 2
