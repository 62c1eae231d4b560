"""A new key of a video is a question, and goes on with `was:` where the old one has stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.load import load_configuration
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.engine.plan.renames.bought import EVERY, block_reasons, charges, finished
from extend_pipeline_tests.support.home.engine_home import (
    EngineHome,
    account,
    branch,
    drive,
    entry,
    source_id,
)
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.ledger.steps import NOON
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.mark.parametrize("provider", EVERY)
def test_a_renamed_key_is_a_question_and_goes_on_with_was(
    make_home: Callable[..., EngineHome], ledger_url: str, provider: str, tmp_path: Path
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, provider)
    home.catalogue([{**written, "key": "new"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE]
    assert charges(home) == 2
    longer = {**written["extend"], "steps": 3}
    home.catalogue([{**written, "key": "new", "was": "v000", "extend": longer}])
    with home.open() as pipeline:
        looked_at = plan(plan_input(pipeline)).videos[0]  # before anything is written to the ledger
        assert (looked_at.hops_done, looked_at.due is not None) == (2, True)
        assert [video.state for video in drive(pipeline).videos] == [VideoState.COMPLETE]
        assert reckon(home, pipeline.ledger).charges == 3
        with pipeline.ledger.read() as connection:
            keys = set(connection.execute(select(tables.attempts.c.video_key)).scalars())
            videos = list(connection.execute(select(tables.videos.c.video_key)).scalars())
            spent = set(connection.execute(select(tables.charges.c.video_key)).scalars())
        assert (keys, videos, spent) == ({"new"}, ["new"], {"new"})
        replays_to_the_same(pipeline.ledger, tmp_path)
    home.catalogue([{**written, "key": "new", "extend": longer}])  # `was` is no longer needed
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None]
    assert charges(home) == 3


@pytest.mark.parametrize("provider", EVERY)
def test_a_misspelt_was_beside_an_edit_is_a_question(
    make_home: Callable[..., EngineHome], ledger_url: str, provider: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, provider)
    edited = {**written, "key": "new", "extend": {**written["extend"], "prompt": "another"}}
    home.catalogue([{**edited, "was": "v00"}])
    with home.open() as pipeline:
        planned = drive(pipeline)
        assert block_reasons(planned) == [BlockReason.SAME_PURCHASE]
        blocker = planned.videos[0].blocker
        assert blocker is not None
        assert "was: v000" in blocker.todo
        check_user_text(f"{blocker.message}\n{blocker.todo}")
    assert charges(home) == 2
    home.catalogue([{**edited, "was": "v000"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.REPURCHASE]
    assert charges(home) == 2


def test_a_misspelt_was_is_a_question_also_beside_a_url_that_is_signed_anew(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, "vidu")
    signed = {**written["source"], "video_url": f"{written['source']['video_url']}?x-amz-signature=2"}
    edited = {**written, "key": "new", "was": "v00", "source": signed}
    home.catalogue([{**edited, "extend": {**written["extend"], "prompt": "another"}}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE]
    assert charges(home) == 2


def test_another_film_of_the_same_source_needs_no_was(make_home: Callable[..., EngineHome], ledger_url: str) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home)
    edited = {**written, "key": "new", "extend": {**written["extend"], "prompt": "another"}}
    home.catalogue([{**edited, "was": "v00"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE]
    home.catalogue([written, {**edited, "was": "v00"}])  # the other one is still there: nothing was renamed
    with home.open() as pipeline:
        assert block_reasons(plan(plan_input(pipeline))) == [None, None]
    home.catalogue([edited])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None]
    assert charges(home) == 4


def test_a_branch_follows_the_new_key_of_its_parent(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    day = entry("day", source_id(0), steps=1, prompt="a")
    home.write([day, branch("night", "day", 1, steps=1, prompt="n")])
    with home.open() as pipeline:
        drive(pipeline)
    home.write([{**day, "key": "noon", "was": "day"}, branch("night", "noon", 1, steps=1, prompt="n")])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
    assert charges(home) == 2


def test_an_old_key_that_is_used_again_has_steps_of_its_own(home: EngineHome) -> None:
    written = finished(home, steps=1)
    home.catalogue([{**written, "key": "new", "was": "v000"}])
    with home.open() as pipeline:
        drive(pipeline)
    home.catalogue([{**written, "key": "new"}, {**written, "again": True}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
        assert check_invariants(pipeline.ledger) == []
    assert charges(home) == 2


@pytest.mark.parametrize(
    ("entries", "accounts", "fields"),
    [
        ([{"key": "b", "was": "a"}, {"key": "a"}], [{}], ["was"]),
        ([{"key": "b", "was": "x"}, {"key": "a", "was": "x"}], [{}], ["was"]),
        ([{"key": "a"}], [{"was": "l"}, {"name": "l"}], ["was"]),
        ([{"key": "a"}], [{"was": "x"}, {"name": "l", "was": "x"}], ["was"]),
        ([{"key": "a", "again": "maybe"}], [{"on_change": "never"}], ["on_change", "again"]),
    ],
)
def test_contradictory_names_are_reported_with_their_field(
    home: EngineHome, entries: list[dict[str, Any]], accounts: list[dict[str, Any]], fields: list[str]
) -> None:
    written = [{**entry("v", source_id(n), steps=1), **changes} for n, changes in enumerate(entries)]
    home.write(written, *(account(**changes) for changes in accounts))
    with pytest.raises(ConfigError) as caught:
        load_configuration(home.settings, PROVIDERS, now=from_ms(NOON))
    assert [problem.field for problem in caught.value.problems] == fields
