"""A new name of an account is a question, and goes on with `was:`, also while attempts are under way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.guards.ledger_look import accept
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.engine.plan.renames.bought import EVERY, account_of, block_reasons, charges, finished
from extend_pipeline_tests.support.home.engine_home import (
    EngineHome,
    account,
    drive,
    entry,
    source_id,
)
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same


@pytest.mark.parametrize("provider", EVERY)
def test_a_renamed_account_is_a_question_and_goes_on_with_was(
    make_home: Callable[..., EngineHome], ledger_url: str, provider: str, tmp_path: Path
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, provider)
    old = written["account"]
    entries = [{**written, "account": "new"}]
    home.write(entries, account_of(home, provider, name="new"))
    with home.open() as pipeline:
        planned = drive(pipeline)
        assert block_reasons(planned) == [BlockReason.SAME_PURCHASE]
        blocker = planned.videos[0].blocker
        assert blocker is not None
        assert f"was: {old}" in blocker.todo
    assert charges(home) == 2
    home.write(
        [{**entries[0], "extend": {**written["extend"], "steps": 3}}], account_of(home, provider, name="new", was=old)
    )
    with home.open() as pipeline:
        assert plan(plan_input(pipeline)).videos[0].hops_done == 2
        assert [video.state for video in drive(pipeline).videos] == [VideoState.COMPLETE]
        assert reckon(home, pipeline.ledger).charges == 3
        with pipeline.ledger.read() as connection:
            names = {
                name
                for table in (tables.attempts, tables.charges, tables.accounts, tables.account_days, tables.videos)
                for name in connection.execute(select(table.c.account)).scalars()
            }
        assert names == {"new"}
        replays_to_the_same(pipeline.ledger, tmp_path)
    assert charges(home) == 3


def test_an_account_that_has_bought_under_both_names_is_one_account(home: EngineHome, tmp_path: Path) -> None:
    old_entries = home.seeded(2, steps=1, prompt="a")
    with home.open() as pipeline:
        drive(pipeline)
    home.sandbox.seed([{"video_id": source_id(7), "duration": 5.0}])
    fresh = entry("fresh", source_id(7), account="new", steps=1, prompt="a")
    entries = [*({**written, "account": "new"} for written in old_entries), fresh]
    home.write(entries, account(home.sandbox.base_url, name="new"))
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE, BlockReason.SAME_PURCHASE, None]
    home.write(entries, account(home.sandbox.base_url, name="new", was="k"))
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None, None]
        assert reckon(home, pipeline.ledger).charges == 3
        replays_to_the_same(pipeline.ledger, tmp_path)


def test_attempts_under_way_are_finished_under_the_new_names(home: EngineHome) -> None:
    (written,) = home.seeded(1, steps=2, prompt="a")
    home.sandbox.faults([{"kind": "5xx_before", "where": "query", "times": 3}])
    with home.open() as pipeline:
        advance(pipeline, publish=False)
    renamed = {**written, "key": "new", "was": "v000", "account": "n"}
    home.write([renamed], account(home.sandbox.base_url, name="n", was="k"))
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None]
        assert reckon(home, pipeline.ledger).states == {"stored": 2}


def test_a_lost_ledger_is_rebuilt_by_the_first_names_while_the_files_have_them(home: EngineHome) -> None:
    written = finished(home)
    renamed = {**written, "key": "new", "was": "v000", "account": "n"}
    home.write([renamed], account(home.sandbox.base_url, name="n", was="k"))
    with home.open() as pipeline:
        drive(pipeline)
    ledger = home.path / "state" / "ledger.sqlite"
    ledger.unlink()
    with home.open() as pipeline:
        accept(pipeline.settings, pipeline.ledger, who="me", why="it is lost", now_ms=pipeline.now_ms())
        assert block_reasons(drive(pipeline)) == [None]
    assert charges(home) == 2
