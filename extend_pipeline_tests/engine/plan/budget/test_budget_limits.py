"""Exposure is capped, and a deduction beyond the tolerance stops its account."""

from __future__ import annotations

from decimal import Decimal

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.user_texts import check_user_text

OUTAGE = {"kind": "5xx_after", "where": "submit", "times": 99}


def test_an_outage_exposes_no_more_than_the_account_allows(home: EngineHome) -> None:
    entries = [planted(home, "kling-gateway", number) for number in range(9)]
    budget = {"per_day": 100, "total": 100, "in_doubt": 3}
    home.write(entries, other_account("kling-gateway", home.sandbox.base_url, budget=budget))
    home.sandbox.faults([OUTAGE])
    with home.open(JumpClock()) as pipeline:
        outcome = drive(pipeline)
        now = status(pipeline)
        assert sum(doubt.exposure for doubt in now.doubts) == Decimal(3)
        assert len(home.sandbox.charges()["charges"]) == 3
        held = (video for video in outcome.videos if video.blocker is not None)
        waiting = [video for video in held if video.blocker.reason is not BlockReason.IN_DOUBT]
        assert len(waiting) == 6
        for video in waiting:
            assert video.blocker is not None
            assert video.blocker.reason is BlockReason.IN_DOUBT_CAP
            check_user_text(f"{video.blocker.message} → {video.blocker.todo}")
        assert now.exit_code == 1
        reckon(home, pipeline.ledger)


def test_resolved_doubts_free_the_exposure_again(home: EngineHome) -> None:
    home.seeded(6)
    home.accounts(account(home.sandbox.base_url, budget={"per_day": 100, "total": 100, "in_doubt": 4}))
    home.sandbox.faults([{**OUTAGE, "times": 3}])
    with home.open(JumpClock()) as pipeline:
        first = advance(pipeline, publish=False)
        assert len(first.submitted.in_doubt) <= 2
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 6


def test_a_deduction_beyond_the_tolerance_stops_the_account_until_it_is_resumed(home: EngineHome) -> None:
    home.seeded(3)
    home.accounts(account(home.sandbox.base_url, max_in_flight=1))
    home.sandbox.faults([{"kind": "odd_deduction", "where": "submit", "units": "3.5"}])
    with home.open(JumpClock()) as pipeline:
        outcome = drive(pipeline)
        (account_now,) = status(pipeline).accounts
        assert account_now.stopped is not None
        check_user_text(account_now.stopped)
        assert [video.state for video in outcome.videos].count(VideoState.COMPLETE) == 1  # what was paid is fetched
        assert len(home.sandbox.charges()["charges"]) == 1
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            controls.resume(tx, "k", why="the provider has announced it")
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 3
        assert status(pipeline).accounts[0].committed == Decimal("7.5")


def test_a_deduction_within_the_tolerance_is_booked_and_nothing_more(home: EngineHome) -> None:
    home.seeded(2)
    home.accounts(account(home.sandbox.base_url, tolerance=1.5))
    home.sandbox.faults([{"kind": "odd_deduction", "where": "submit", "units": "3.5"}])
    with home.open(JumpClock()) as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert status(pipeline).accounts[0].stopped is None
        assert status(pipeline).accounts[0].committed == Decimal("5.5")


def test_the_blocker_of_a_step_dearer_than_the_cap_names_what_to_raise(home: EngineHome) -> None:
    home.seeded(1)
    home.accounts(account(home.sandbox.base_url, budget={"per_day": 100, "total": 100, "in_doubt": 1}))
    with home.open(JumpClock()) as pipeline:
        (video,) = drive(pipeline).videos
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.IN_DOUBT_CAP
        check_user_text(f"{video.blocker.message} → {video.blocker.todo}")
