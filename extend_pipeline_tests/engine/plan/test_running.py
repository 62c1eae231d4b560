"""A round doesn't walk the videos that wait for a task: it counts them, since nothing can be bought for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.drive import next_moment_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.leftover_tasks import leftover_tasks
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.poll import poll_due
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, branch, entry, source_id
from extend_pipeline_tests.support.ledger.plans import recorded

VIDEOS = 6
KEYS = [f"v{number}" for number in range(VIDEOS)]


@pytest.fixture
def slow(make_home: Callable[..., EngineHome]) -> EngineHome:
    """Return a home whose tasks run for an hour."""
    return make_home(run_time=(3600, 3600))


def entries() -> list[dict[str, object]]:
    """Return the entries of the videos."""
    return [entry(key, source_id(number), steps=2) for number, key in enumerate(KEYS)]


@contextmanager
def all_running(home: EngineHome) -> Iterator[tuple[Pipeline, JumpClock]]:
    """Yield a home of which each video waits for its first task, and its clock."""
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(VIDEOS)])
    home.write(entries())
    clock = JumpClock()
    with home.open(clock) as pipeline:
        assert len(advance(pipeline, publish=False).submitted.accepted) == VIDEOS
        yield pipeline, clock


def planned(pipeline: Pipeline, **options: object) -> list[str]:
    """Return the keys of the videos that a round plans which shows two of those that wait. The others are counted, and
    all are planned alike by a whole plan."""
    options |= {"unfinished": True}
    now, whole = (plan(plan_input(pipeline, walk_running=shown, **options)) for shown in (2, None))  # type: ignore[arg-type]
    by_key = {video.key: video for video in whole.videos}
    assert now.videos == tuple(by_key[video.key] for video in now.videos)
    left_out = [video for video in whole.videos if video not in now.videos]
    assert all(video.running is not None and video.blocker is None for video in left_out)
    assert sum(now.running.values()) == len(left_out)
    return [video.key for video in now.videos]


def test_all_but_the_first_are_counted(slow: EngineHome) -> None:
    with all_running(slow) as (pipeline, _):
        assert planned(pipeline) == KEYS[:2]
        assert plan_input(pipeline, unfinished=True, walk_running=2).running == {"k": VIDEOS - 2}
        assert plan_input(pipeline, unfinished=True, walk_running=0).running == {"k": VIDEOS}
        assert planned(pipeline, videos=KEYS[3:]) == KEYS[3:5]
        assert planned(pipeline, afresh=["v5"]) == [*KEYS[:2], "v5"]


def test_nothing_is_read_of_what_is_counted(slow: EngineHome) -> None:
    with all_running(slow) as (pipeline, _):
        with recorded(pipeline.ledger) as statements:
            advance(pipeline, publish=False)
        assert statements
        assert not [values for _, values in statements if any(key in str(values) for key in KEYS)]


def test_the_whole_status_and_what_is_next_are_the_same(slow: EngineHome) -> None:
    with all_running(slow) as (pipeline, _):
        finished = advance(pipeline, publish=False)
        assert finished.changed == []
        assert [video.key for video in status(pipeline).plan.videos] == KEYS
        brief = status(pipeline, brief=True, counts_running=True)
        assert (len(brief.plan.videos), brief.plan.running, brief.plan.complete) == (0, {"k": VIDEOS}, {})
        next_ms = next_moment_ms(pipeline, finished)
        finished.plan = plan(plan_input(pipeline, unfinished=True))
        assert next_moment_ms(pipeline, finished) == next_ms


def test_an_edit_is_planned_before_and_after_it_is_declared(slow: EngineHome) -> None:
    with all_running(slow) as (pipeline, _):
        other = entry("v5", source_id(5), steps=2, prompt="the tide")
        slow.catalogue([*entries()[:5], other])
        pipeline.refresh()
        assert "v5" in planned(pipeline)
        declare_catalogue(pipeline)
        assert planned(pipeline) == [*KEYS[:2], "v5"]
        advance(pipeline, publish=False)
        assert planned(pipeline) == [*KEYS[:2], "v5"]  # it asks


def test_a_task_that_runs_for_too_long_is_planned(slow: EngineHome) -> None:
    with all_running(slow) as (pipeline, clock):
        clock.skip(pipeline.accounts["k"].patience_s * 1000 - 60_000)
        assert planned(pipeline) == KEYS[:2]
        assert leftover_tasks(pipeline) == ()
        clock.skip(61_000)
        assert planned(pipeline) == KEYS
        slow.catalogue(entries()[:5])
        pipeline.refresh()
        assert [task.video_key for task in leftover_tasks(pipeline)] == ["v5"]


def test_a_finished_task_is_planned_and_goes_on(home: EngineHome) -> None:
    with all_running(home) as (pipeline, clock):
        assert planned(pipeline) == KEYS[:2]
        clock.skip(DAY_MS // 24)
        second = advance(pipeline, publish=False)
        assert len(second.submitted.accepted) == VIDEOS
        assert planned(pipeline) == KEYS[:2]
        with pipeline.ledger.read() as connection:
            assert {row.hops_done for row in queries.videos(connection)} == {1}


def test_a_result_is_counted_until_a_fetch_of_it_has_failed(home: EngineHome) -> None:
    with all_running(home) as (pipeline, clock):
        clock.skip(DAY_MS // 24)
        poll_due(pipeline)
        with pipeline.ledger.read() as connection:
            (*_, last) = queries.attempts_in(connection, [AttemptState.SUCCEEDED])
        assert planned(pipeline) == KEYS[:2]
        refused = LastLook("its host is not allowed", LookCause.FETCH_REFUSED)
        with pipeline.ledger.write(now_ms=clock(), actor="a test") as tx:
            transitions.schedule(tx, last.attempt_id, account=last.account, due_at=clock(), look=refused)
        shown = plan(plan_input(pipeline, unfinished=True, walk_running=0))
        assert [(video.key, video.blocker.reason) for video in shown.videos if video.blocker] == [
            (last.video_key, BlockReason.NOT_FETCHED)
        ]
        assert shown.running == {"k": VIDEOS - 1}


def test_a_branch_is_always_planned(slow: EngineHome) -> None:
    with all_running(slow) as (pipeline, _):
        slow.catalogue([*entries(), branch("other-end", "v5", 1, steps=1, prompt="the tide")])
        pipeline.refresh()
        advance(pipeline, publish=False)
        assert planned(pipeline) == [*KEYS[:2], "other-end"]
