"""What the machine has found, each as a plain test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from extend_pipeline.base.failpoints import FailpointError
from extend_pipeline.engine.advance import advance
from extend_pipeline.ledger import tables
from extend_pipeline_tests.engine.conftest import make_home
from extend_pipeline_tests.machine.world.processes import armed
from extend_pipeline_tests.machine.world.statements import reconcile_kling
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.ledger.reckoning import reckon

__all__ = ["make_home"]


def test_a_task_that_is_being_sent_is_not_taken_over_from_the_list(make_home: Callable[..., EngineHome]) -> None:
    """Its response was lost in a crash, and the provider's list was compared before the lease ended: it used to become
    an unmatched task, and the attempt that had made it was looked up for ever."""
    home, clock = make_home(billing_delay=0, billing_interval=0), JumpClock()
    entries = home.seeded(1)
    home.write(
        [{**entry, "account": "kling"} for entry in entries], account(home.sandbox.base_url, "kling", submit_class="A")
    )
    with (
        home.open(clock, owner="first") as pipeline,
        armed("submit.after_post", 1),
        pytest.raises(FailpointError),
    ):
        advance(pipeline, publish=False)
    with home.open(clock, owner="second") as pipeline:
        reconcile_kling(pipeline)
        clock.skip(10_000)
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            rows = list(connection.execute(select(tables.attempts)))
        assert [(row.state, row.chain_digest == "orphan") for row in rows] == [("stored", False)]
        assert reckon(home, pipeline.ledger).charges == 1
