"""A clock that is an hour off, ours or the upstream's: the work completes, or the blocker names the clock;
nothing is paid twice, and nothing that can still be fetched is given up."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.registry import build_provider
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive, impatient_provider
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.user_texts import check_user_text

HOUR_S = 3_600
OFF = pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S], ids=["an hour ahead", "an hour behind"])


def provider_at(off_s: float) -> Any:
    """Return a maker of providers whose tokens are dated by a clock that is `off_s` off."""

    def make(account: Account, *, settings: Settings) -> Any:
        if account.provider != "kling":
            return build_provider(account, settings=settings)
        return impatient_provider(account, settings=settings, now=lambda: time.time() + off_s)

    return make


def complete(pipeline: Pipeline) -> None:
    """Drive everything to its end."""
    videos = drive(pipeline).videos
    assert {video.state for video in videos} == {VideoState.COMPLETE}, [video.blocker for video in videos]


@OFF
def test_a_token_dated_by_a_wrong_clock_blocks_with_the_clock_as_reason(off_s: int, home: EngineHome) -> None:
    home.seeded(3, steps=2)
    with home.open(JumpClock(off_s * 1000), make_provider=provider_at(off_s)) as pipeline:
        for _ in range(4):
            advance(pipeline, publish=False)
        assert home.sandbox.charges()["charges"] == []
        held = [video.blocker for video in status(pipeline).plan.videos if video.blocker]
        assert {blocker.reason for blocker in held} == {BlockReason.WRONG_CLOCK}
        check_user_text(re.sub(r"\b(3599|3600|3601) s\b", "3600 s", held[0].message))
    with home.open() as pipeline:  # the clock is right, and no operator has resumed the account
        complete(pipeline)
        assert reckon(home, pipeline.ledger).charges == 6


@OFF
def test_a_clock_that_goes_wrong_while_tasks_run_loses_no_task(off_s: int, home: EngineHome) -> None:
    home.seeded(4, steps=1)
    with home.open() as pipeline:
        advance(pipeline, publish=False)
        assert len(home.sandbox.charges()["charges"]) == 4
    with home.open(JumpClock(off_s * 1000), make_provider=provider_at(off_s)) as pipeline:
        for _ in range(4):
            advance(pipeline, publish=False)
            pipeline.now_ms.skip(60_000)  # type: ignore[attr-defined]
        with pipeline.ledger.read() as connection:
            states = set(connection.execute(select(tables.attempts.c.state)).scalars())
        assert states <= {"submitted", "processing", "succeeded", "stored"}
        assert len(home.sandbox.charges()["charges"]) == 4
    with home.open() as pipeline:
        complete(pipeline)
        assert reckon(home, pipeline.ledger).charges == 4


@OFF
@pytest.mark.parametrize("provider", OTHERS)
def test_keys_without_a_date_work_with_any_clock(off_s: int, provider: str, home: EngineHome) -> None:
    other_home(home, provider)
    with home.open(JumpClock(off_s * 1000), make_provider=provider_at(off_s)) as pipeline:
        complete(pipeline)
        assert reckon(home, pipeline.ledger).charges == 1


@OFF
@pytest.mark.parametrize("provider", ["kling", *OTHERS])
def test_an_upstream_whose_clock_is_wrong_is_paid_once_and_its_results_are_fetched(
    off_s: int, provider: str, home: EngineHome
) -> None:
    """Its dates, and the ends of its URLs, are an hour off; tokens are tested above."""
    if provider == "kling":
        home.seeded(2, steps=2)
    else:
        other_home(home, provider, steps=2)
    home.sandbox.set_offset(off_s)
    with home.open() as pipeline:
        complete(pipeline)
        assert reckon(home, pipeline.ledger).charges == (4 if provider == "kling" else 2)


@pytest.mark.parametrize("provider", ["kling-gateway", "luma", "vidu"])
def test_a_url_that_seems_to_have_expired_is_tried(provider: str, home: EngineHome) -> None:
    """The upstream's clock is an hour and more behind: its fresh URLs are past their end by ours, and still good."""
    other_home(home, provider)
    home.sandbox.set_offset(-3 * HOUR_S)
    with home.open() as pipeline:
        complete(pipeline)
        totals = reckon(home, pipeline.ledger)
    assert (totals.charges, totals.states) == (1, {"stored": 1})


@OFF
def test_a_doubt_is_looked_up_and_never_paid_again_with_a_wrong_clock(off_s: int, home: EngineHome) -> None:
    """The settle window is reckoned by our own clock; one that jumps ahead ends it early, so absence has to be seen
    several times, while a task that is known is found."""
    home.seeded(3, steps=1)
    home.sandbox.faults([{"kind": "reset_after", "where": "submit", "times": 2}])
    with home.open() as pipeline:
        advance(pipeline, publish=False)
    assert len(home.sandbox.charges()["charges"]) == 2  # two in doubt are enough: the third waits for a reply
    with home.open(JumpClock(off_s * 1000)) as pipeline:
        complete(pipeline)
        assert reckon(home, pipeline.ledger).charges == 3
