"""A home that lost its ledger pays nothing again, and a changed catalogue makes only what changed."""

from __future__ import annotations

import shutil

from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, branch, drive, entry, source_id
from extend_pipeline_tests.support.ledger.reckoning import reckon


def test_a_lost_ledger_is_rebuilt_from_the_upstream_without_a_second_charge(home: EngineHome) -> None:
    home.seeded(3, steps=2)
    with home.open() as pipeline:
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            before = set(connection.execute(select(tables.attempts.c.external_task_id, tables.attempts.c.task_id)))
    charges = home.sandbox.charges()["charges"]
    shutil.rmtree(home.path / "state")
    with home.open() as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        totals = reckon(home, pipeline.ledger)
        with pipeline.ledger.read() as connection:
            after = set(connection.execute(select(tables.attempts.c.external_task_id, tables.attempts.c.task_id)))
    assert after == before
    assert len(before) == 6
    assert home.sandbox.charges()["charges"] == charges
    assert totals.states == {"stored": 6}


def test_a_changed_prompt_pays_for_its_hop_and_those_after_it_only(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    for prompts, charges in ((["a", "b", "c"], 3), (["a", "b", "C"], 4), (["a", "B", "c"], 6), (["a", "b", "c"], 6)):
        payer = account(home.sandbox.base_url, on_change="pay")
        home.write([entry("v", source_id(0), steps=3, prompts=prompts)], payer)
        with home.open() as pipeline:
            assert drive(pipeline).videos[0].state is VideoState.COMPLETE
            assert reckon(home, pipeline.ledger).charges == charges, prompts


def test_a_finished_branch_is_made_anew_when_its_parent_changes(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])

    def write(prompt: str) -> None:
        entries = [branch("night", "day", 1, steps=1, prompt="n"), entry("day", source_id(0), steps=1, prompt=prompt)]
        home.write(entries, account(home.sandbox.base_url, on_change="pay"))

    write("sun")
    with home.open() as pipeline:
        drive(pipeline)
        assert reckon(home, pipeline.ledger).charges == 2
    write("rain")
    with home.open() as pipeline:
        drive(pipeline)
        assert {video.state for video in plan(plan_input(pipeline)).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 4


def test_a_video_that_leaves_the_catalogue_is_fetched_but_not_extended(home: EngineHome) -> None:
    entries = home.seeded(2, steps=3)
    home.sandbox.faults([{"kind": "5xx_before", "where": "query", "times": 6}])
    with home.open() as pipeline:
        advance(pipeline, publish=False)
    home.catalogue(entries[:1])
    with home.open() as pipeline:
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            rows = {row.video_key: row.state for row in connection.execute(select(tables.videos))}
            gone = list(connection.execute(select(tables.attempts).where(tables.attempts.c.video_key == "v001")))
        assert rows == {"v000": "complete", "v001": "withdrawn"}
        assert [(row.hop, row.state) for row in gone] == [(1, "stored")]
        assert reckon(home, pipeline.ledger).charges == 4
    home.catalogue(entries)
    with home.open() as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 6
