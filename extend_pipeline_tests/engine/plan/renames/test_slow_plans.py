"""Plans from before another process bought or changed the same: the claim refuses them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.submit.prepare import claim_request
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.write.claims import claim
from extend_pipeline_tests.engine.plan.renames.bought import block_reasons, charges
from extend_pipeline_tests.support.home.engine_home import (
    EngineHome,
    drive,
)
from extend_pipeline_tests.support.ledger.steps import NOON


def test_the_claim_refuses_what_another_video_has_bought_meanwhile(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    (written,) = home.seeded(1, steps=1, prompt="a")
    with home.open() as first:
        advance(first, submit=False, publish=False)
        home.catalogue([{**written, "key": "copy"}, written])
        with home.open() as second:
            advance(second, submit=False, publish=False)
            steps = [plan(plan_input(pipeline)).due[0] for pipeline in (first, second)]
            requests = [claim_request(p, step) for p, step in zip((first, second), steps, strict=True)]
            with first.ledger.write(now_ms=NOON, actor="both") as tx:
                result = claim(tx, requests, caps=first.budget_limits(), owner="both", lease_until=NOON + 1000)
    assert [request.video_key for request in result.claimed] == ["v000"]
    assert [refused.reason for refused in result.refused] == [BlockReason.SAME_PURCHASE]


@pytest.mark.parametrize("change", ["renamed", "taken out"])
def test_a_plan_from_before_a_change_buys_nothing_for_a_removed_key(home: EngineHome, change: str) -> None:
    (written,) = home.seeded(1, steps=1, prompt="a")
    with home.open() as slow:
        advance(slow, submit=False, publish=False)
        planned = plan(plan_input(slow))
        home.catalogue([{**written, "key": "new", "was": "v000"}] if change == "renamed" else [])
        with home.open() as quick:
            advance(quick, submit=False, publish=False)
        refused = submit_due(slow, planned).refused
    assert [refusal.reason for refusal in refused] == [BlockReason.CHANGED]
    assert charges(home) == 0
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None] * (change == "renamed")
    assert charges(home) == (change == "renamed")
