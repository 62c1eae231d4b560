"""Results of the providers besides Kling whose URLs expire: requested anew where that helps, else lost and reported."""

from __future__ import annotations

from typing import Any

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.user_texts import check_user_text

# the first download is the source's, but for the gateway, whose results name where their parent is
SOURCES = {"kling-gateway": 0, "vidu": 1, "luma": 1}


def ended(provider: str, **changes: Any) -> dict[str, Any]:
    """Return the order that a result's URL be refused when it is fetched."""
    order = {"kind": "expired_url", "where": "download", "skip": SOURCES[provider], "match": {"provider": provider}}
    return {**order, **changes}


@pytest.mark.parametrize("provider", ["kling-gateway", "luma"])
def test_an_expired_url_is_requested_anew_and_nothing_is_paid_again(provider: str, home: EngineHome) -> None:
    other_home(home, provider)
    home.sandbox.faults([ended(provider)])
    with home.open() as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert home.sandbox.faults()[0]["fired"] == 1
        totals = reckon(home, pipeline.ledger)
    assert (totals.charges, totals.states) == (1, {"stored": 1})


def test_a_luma_result_is_fetched_though_its_url_expired_long_ago(home: EngineHome) -> None:
    """The process did not run for hours; its fetch from the fresh URL is cut at first, which proves nothing."""
    other_home(home, "luma")
    clock = JumpClock()
    with home.open(clock) as pipeline:
        home.sandbox.faults([ended("luma", kind="5xx_before", times=99)])
        for _ in range(4):
            advance(pipeline, publish=False)
            clock.skip(500)
        assert len(home.sandbox.charges()["charges"]) == 1
        assert status(pipeline).plan.videos[0].running is not None
        home.sandbox.clear_faults()
        home.sandbox.faults([{"kind": "cut_download", "where": "download", "times": 3, "match": {"provider": "luma"}}])
        home.sandbox.set_offset(3 * 3600)
        clock.skip(3 * 3_600_000)
        for _ in range(3):
            (video,) = drive(pipeline).videos
            if video.blocker is not None:  # reported, because it is late, and tried again
                assert video.blocker.reason is BlockReason.NOT_FETCHED
            clock.skip(600_000)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert home.sandbox.faults()[0]["fired"] == 3
        totals = reckon(home, pipeline.ledger)
    assert (totals.charges, totals.states) == (1, {"stored": 1})


def test_a_vidu_result_with_an_expired_url_is_reported_lost_after_a_few_refusals(home: EngineHome) -> None:
    other_home(home, "vidu")
    home.sandbox.faults([ended("vidu")])  # once is enough: its queries return the same URL for ever
    with home.open() as pipeline:
        (video,) = drive(pipeline).videos
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.RESULT_LOST
        check_user_text(video.blocker.message)
        check_user_text(video.blocker.todo)
        assert video.state is VideoState.BLOCKED
        assert status(pipeline).exit_code == 1
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.states) == (1, {"result_lost": 1})
        refused = [row for row in home.sandbox.requests()["counts"] if row["status"] == "403"]
        assert 3 <= sum(row["count"] for row in refused) <= 6
        # the operator pays again, knowing it
        assert isinstance(resolve.resubmit(pipeline, "vidu-0/1", who="ann", why="gone"), resolve.Resolved)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert status(pipeline).exit_code == 0
    assert len(home.sandbox.charges()["charges"]) == 2


def test_transient_server_errors_do_not_lose_a_vidu_result(home: EngineHome) -> None:
    other_home(home, "vidu")
    home.sandbox.faults([ended("vidu", kind="5xx_before", times=5)])
    with home.open() as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert home.sandbox.faults()[0]["fired"] == 5
        assert reckon(home, pipeline.ledger).charges == 1


def test_an_outage_past_the_expiry_of_a_url_does_not_lose_its_result(home: EngineHome) -> None:
    """The process did not run while the URL expired; when it runs again, the provider is unavailable for a moment."""
    other_home(home, "luma")
    clock = JumpClock()
    with home.open(clock) as pipeline:
        home.sandbox.faults([ended("luma", kind="5xx_before", times=99)])
        for _ in range(4):
            advance(pipeline, publish=False)
            clock.skip(500)
        assert len(home.sandbox.charges()["charges"]) == 1
        home.sandbox.clear_faults()
        home.sandbox.set_offset(3 * 3600)
        clock.skip(3 * 3_600_000)
        home.sandbox.faults([{"kind": "5xx_before", "where": "query", "times": 999}])
        for _ in range(4):
            assert advance(pipeline, publish=False).collected.lost == []
            clock.skip(600_000)
        assert home.sandbox.faults()[0]["fired"] >= 4
        [held] = [video.blocker for video in status(pipeline).plan.videos]
        assert held is not None
        check_user_text(held.message)
        check_user_text(held.todo)
        home.sandbox.clear_faults()
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        totals = reckon(home, pipeline.ledger)
    assert (totals.charges, totals.states) == (1, {"stored": 1})


def test_transient_errors_before_a_refusal_do_not_count_as_refusals(home: EngineHome) -> None:
    other_home(home, "vidu")
    home.sandbox.faults([ended("vidu", kind="5xx_before", times=5)])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        for _ in range(20):
            advance(pipeline, publish=False)
            clock.skip(60_000)
            if home.sandbox.faults()[0]["fired"] == 5:
                break
        home.sandbox.clear_faults()
        home.sandbox.faults([ended("vidu", skip=0)])
        assert drive(pipeline).videos[0].state is VideoState.BLOCKED
        refused = [row["count"] for row in home.sandbox.requests()["counts"] if row["status"] == "403"]
        assert sum(refused) >= 3, "one refusal may be a server's bad moment, like those before it"
        assert reckon(home, pipeline.ledger).states == {"result_lost": 1}
