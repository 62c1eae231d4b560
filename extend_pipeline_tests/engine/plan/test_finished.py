"""A finished video is one row: its plan is the one that a walk along its hops gives, and costs none of its attempts."""

from __future__ import annotations

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.renames_and_choices import Choice, choose
from extend_pipeline_tests.support.home.engine_home import EngineHome, branch, drive, entry, source_id
from extend_pipeline_tests.support.ledger.plans import recorded

ATTEMPTS_BY_KEY = "attempts.video_key IN"  # how a statement reads the attempts of videos


def in_order(pipeline: Pipeline, **options: object) -> list[tuple[str, VideoPlan]]:
    """Return the plan's videos with their keys."""
    return [(video.key, video) for video in plan(plan_input(pipeline, **options)).videos]  # type: ignore[arg-type]


def three(home: EngineHome) -> list[dict[str, object]]:
    """Write a catalogue of steps, of a length, and of a branch off the first; return the entries."""
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(3)])
    entries = [
        entry("steps", source_id(0), steps=2),
        entry("length", source_id(1), to=9.0),
        branch("other-end", "steps", 1, steps=1, prompt="the tide"),
    ]
    home.write(entries)
    return entries


def test_a_row_gives_the_plan_that_a_walk_gives(home: EngineHome) -> None:
    three(home)
    with home.open() as pipeline:
        drive(pipeline)
        rows = in_order(pipeline)
        assert rows == in_order(pipeline, afresh=[key for key, _ in rows])
        assert {video.state for _, video in rows} == {VideoState.COMPLETE}
        assert [key for key, _ in rows] == ["steps", "length", "other-end"]
        assert in_order(pipeline, unfinished=True) == []
        assert in_order(pipeline, videos=["length"]) == [rows[1]]


def test_no_attempt_of_a_finished_video_is_read(home: EngineHome) -> None:
    three(home)
    with home.open() as pipeline:
        drive(pipeline)
        with recorded(pipeline.ledger) as statements:
            plan(plan_input(pipeline))
        assert not [text for text, _ in statements if ATTEMPTS_BY_KEY in text]


def test_a_brief_plan_counts_what_is_complete(home: EngineHome) -> None:
    entries = three(home)
    with home.open() as pipeline:
        drive(pipeline)
        (account,) = pipeline.accounts
        read = plan_input(pipeline, brief=True)
        assert (read.videos, read.finished, read.complete) == ([], {}, {account: 3})
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="operator") as tx:  # what the branch begins with
            choose(tx, "steps", [Choice(1, "another", "step")], why="test")
        read = plan_input(pipeline, brief=True)
        assert [video.key for video in read.videos] == ["other-end"]
        assert read.complete == {account: 2}
        assert plan(read).complete == {account: 2}
    entries[0]["extend"] = {"steps": 3}
    home.catalogue(entries)
    with home.open() as pipeline:  # an edit that the ledger doesn't have yet
        assert in_order(pipeline, brief=True) == in_order(pipeline)


def test_a_brief_plan_reads_the_rows_of_branches_only(home: EngineHome) -> None:
    three(home)
    with home.open() as pipeline:
        drive(pipeline)
        with recorded(pipeline.ledger) as statements:
            plan_input(pipeline, brief=True)
    of_videos = [text for text, _ in statements if "FROM videos" in text]
    assert [text for text in of_videos if "videos.state" not in text.partition("WHERE")[2]] == []
    assert not [text for text, _ in statements if ATTEMPTS_BY_KEY in text]
    assert [values[-1] for text, values in statements if "videos.hops_done" in text] == ["other-end"]


def test_an_edited_one_is_walked_and_the_others_are_not(home: EngineHome) -> None:
    entries = three(home)
    with home.open() as pipeline:
        drive(pipeline)
        before = dict(in_order(pipeline))
    entries[0]["extend"] = {"steps": 3}
    home.catalogue(entries)
    with home.open() as pipeline:
        read = plan_input(pipeline)
        assert [video.key for video in read.videos] == ["steps"]
        assert list(read.finished) == ["length", "other-end"]
        now = dict(in_order(pipeline))
    assert now["steps"].state is not VideoState.COMPLETE
    assert now["steps"].hops_left == (1, 1)
    assert {key: video for key, video in now.items() if key != "steps"} == {
        key: video for key, video in before.items() if key != "steps"
    }


def test_an_open_branch_is_walked_from_its_finished_parent(home: EngineHome) -> None:
    entries = three(home)
    home.write(entries[:2])
    with home.open() as pipeline:
        drive(pipeline)
    home.write(entries)
    with home.open() as pipeline:
        read = plan_input(pipeline)
        assert [video.key for video in read.videos] == ["other-end"]
        (_, _, (_, open_branch)) = in_order(pipeline)
    assert open_branch.due is not None
    assert open_branch.current_ms is not None
