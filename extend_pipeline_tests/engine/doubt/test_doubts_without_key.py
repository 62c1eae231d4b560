"""Submits whose response was lost at providers without our key: nothing is guessed, and the operator decides."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text

PRICES = {"kling-gateway": Decimal(1), "vidu": Decimal("0.5"), "luma": Decimal(1)}


def lost(provider: str, kind: str, **changes: Any) -> dict[str, Any]:
    """Return the order that the response to one submit be lost."""
    return {"kind": kind, "where": "submit", "match": {"provider": provider}, **changes}


@pytest.mark.parametrize("provider", OTHERS)
@pytest.mark.parametrize(
    ("kind", "changes", "charges"),
    [
        ("reset_after", {}, 1),
        ("5xx_after", {}, 1),
        ("5xx_before", {}, 0),
        ("html", {"after": True}, 1),
        ("html", {"after": False, "code": 200}, 0),
    ],
)
def test_a_lost_response_leaves_a_doubt_that_keeps_its_reservation(
    kind: str, changes: dict[str, Any], charges: int, provider: str, home: EngineHome
) -> None:
    other_home(home, provider)
    home.sandbox.faults([lost(provider, kind, **changes)])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        (video,) = drive(pipeline).videos
        for _ in range(2):
            assert video.blocker is not None
            assert video.blocker.reason is BlockReason.IN_DOUBT
            check_user_text(video.blocker.message)
            check_user_text(video.blocker.todo)
            now = status(pipeline)
            assert now.exit_code == 1
            assert now.doubts[0].sent_key == ""  # these providers take no key of ours
            assert now.accounts[0].committed == now.doubts[0].exposure == PRICES[provider]
            assert reckon(home, pipeline.ledger).charges == charges
            clock.skip(2 * DAY_MS)
            (video,) = drive(pipeline).videos


@pytest.mark.parametrize("provider", OTHERS)
def test_a_task_that_the_operator_found_is_adopted_and_fetched(provider: str, home: EngineHome) -> None:
    other_home(home, provider, steps=2)
    home.sandbox.faults([lost(provider, "reset_after")])
    with home.open() as pipeline:
        drive(pipeline)
        (task,) = home.sandbox.tasks()
        where = f"{provider}-0/1"
        assert isinstance(resolve.adopt(pipeline, where, "no-such-task", who="ann", why=""), resolve.Declined)
        resolution = resolve.adopt(pipeline, where, task["task_id"], who="ann", why="seen in the console")
        assert isinstance(resolution, resolve.Resolved), resolution
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.states) == (2, {"stored": 2})
        assert status(pipeline).exit_code == 0
        assert replays_to_the_same(pipeline.ledger, home.path) > 10


@pytest.mark.parametrize("provider", OTHERS)
def test_a_task_that_was_never_made_is_sent_again_by_the_operators_decision(provider: str, home: EngineHome) -> None:
    other_home(home, provider)
    home.sandbox.faults([lost(provider, "reset_before")])
    with home.open() as pipeline:
        drive(pipeline)
        where = f"{provider}-0/1"
        resolution = resolve.resubmit(pipeline, where, who="ann", why="not in the console")
        assert isinstance(resolution, resolve.Resolved)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.states) == (1, {"written_off": 1, "stored": 1})
        assert status(pipeline).accounts[0].committed == 2 * PRICES[provider]  # both are booked: the first may be real


@pytest.mark.parametrize("provider", OTHERS)
def test_a_doubt_that_is_written_off_is_booked_and_nothing_more_is_sent(provider: str, home: EngineHome) -> None:
    other_home(home, provider)
    home.sandbox.faults([lost(provider, "reset_after")])
    with home.open() as pipeline:
        drive(pipeline)
        assert isinstance(resolve.write_off(pipeline, f"{provider}-0/1", who="ann", why="lost"), resolve.Resolved)
        (video,) = drive(pipeline).videos
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.WRITTEN_OFF
        assert advance(pipeline, publish=False).submitted.posts == 0
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.states) == (1, {"written_off": 1})
        assert status(pipeline).accounts[0].committed == PRICES[provider]
