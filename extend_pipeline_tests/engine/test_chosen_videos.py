"""A run over chosen videos polls, fetches and submits for these alone, and ends when nothing is left to do for them,
while tasks and results of the account's other videos are due and no other process looks at them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from sqlalchemy import select

from extend_pipeline.engine.advance import Round, advance, declare_catalogue
from extend_pipeline.engine.drive import advance_until_idle, next_moment_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.poll import LIST_WORTH, poll_due
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, branch, entry, source_id
from extend_pipeline_tests.support.ledger.steps import CAPS, claim, request

CHOSEN, OTHER = "v000", "v001"
TIME_S = 30.0
"""The time of a run, which no run of these tests may use up."""

MakeHome = Callable[..., EngineHome]


def submitted(pipeline: Pipeline, *keys: str) -> None:
    """Submit the next hop of videos, and do no more."""
    declare_catalogue(pipeline)
    assert len(submit_due(pipeline, plan(plan_input(pipeline, videos=keys))).accepted) == len(keys)


def run(pipeline: Pipeline, videos: Collection[str]) -> dict[str, VideoState]:
    """Advance videos until idle; return their states. Fail where only the end of its time has ended the run."""
    began = time.monotonic()
    now = advance_until_idle(pipeline, videos=videos, max_seconds=TIME_S)
    assert time.monotonic() - began < TIME_S, "the run went on until its time was up"
    return {video.key: video.state for video in now.videos}


def states(pipeline: Pipeline, key: str) -> list[S]:
    """Return the states of a video's attempts by hop."""
    table = tables.attempts
    query = select(table.c.state).where(table.c.video_key == key).order_by(table.c.hop)
    with pipeline.ledger.read() as connection:
        return [S(state) for state in connection.execute(query).scalars()]


def leases(pipeline: Pipeline) -> set[str]:
    """Return the owners of what is leased."""
    with pipeline.ledger.read() as connection:
        return set(connection.execute(select(tables.schedule.c.owner)).scalars()) - {""}


def test_a_task_of_another_video_that_is_due_neither_keeps_a_run_nor_is_polled(
    make_home: MakeHome, ledger_url: str
) -> None:
    home, clock = make_home(ledger_url=ledger_url), JumpClock()
    home.seeded(2)
    with home.open(clock) as pipeline:
        submitted(pipeline, OTHER)
        clock.skip(10_000)
        assert run(pipeline, [CHOSEN]) == {CHOSEN: VideoState.COMPLETE}
        assert states(pipeline, CHOSEN) == [S.STORED]
        assert states(pipeline, OTHER) == [S.SUBMITTED]
        assert leases(pipeline) == set()
        assert len(home.sandbox.tasks()) == 2
        assert run(pipeline, [OTHER]) == {OTHER: VideoState.COMPLETE}
    assert len(home.sandbox.tasks()) == 2


def test_a_result_of_another_video_is_left_to_a_run_that_has_it(home: EngineHome) -> None:
    home.seeded(2)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        submitted(pipeline, OTHER)
        clock.skip(10_000)
        assert poll_due(pipeline).succeeded == [f"{OTHER}/1"]
        assert run(pipeline, [CHOSEN]) == {CHOSEN: VideoState.COMPLETE}
        assert states(pipeline, OTHER) == [S.SUCCEEDED]
        assert advance(pipeline, videos=[CHOSEN]).collected.stored == []
        advance_until_idle(pipeline, max_seconds=TIME_S)
        assert states(pipeline, OTHER) == [S.STORED]


def test_a_complete_video_ends_a_run_at_once_while_others_are_due(home: EngineHome) -> None:
    home.seeded(1 + LIST_WORTH)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        assert run(pipeline, [CHOSEN]) == {CHOSEN: VideoState.COMPLETE}
        submitted(pipeline, *(f"v{number:03}" for number in range(1, 1 + LIST_WORTH)))
        clock.skip(10_000)
        before = home.sandbox.requests()["total"]
        assert run(pipeline, [CHOSEN]) == {CHOSEN: VideoState.COMPLETE}
        assert home.sandbox.requests()["total"] == before


def test_doubts_of_other_videos_are_cleared_up_and_their_tasks_are_not_awaited(home: EngineHome) -> None:
    home.seeded(2)
    home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        declare_catalogue(pipeline)
        assert submit_due(pipeline, plan(plan_input(pipeline, videos=[OTHER]))).in_doubt == [f"{OTHER}/1"]
        clock.skip(10_000)
        assert run(pipeline, [CHOSEN]) == {CHOSEN: VideoState.COMPLETE}
        assert states(pipeline, OTHER) == [S.SUBMITTED]  # a doubt takes from what the account may risk
    assert len(home.sandbox.tasks()) == 2


def test_a_slot_that_another_video_holds_is_not_awaited(home: EngineHome) -> None:
    home.account = {"max_in_flight": 1}
    home.seeded(2)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        submitted(pipeline, OTHER)
        clock.skip(10_000)
        assert run(pipeline, [CHOSEN]) == {CHOSEN: VideoState.WAITING}
        assert (states(pipeline, CHOSEN), states(pipeline, OTHER)) == ([], [S.SUBMITTED])
        advance_until_idle(pipeline, max_seconds=TIME_S)
        assert states(pipeline, CHOSEN) == states(pipeline, OTHER) == [S.STORED]


def test_a_branch_whose_parent_is_not_chosen_is_not_awaited(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    home.write([entry("trunk", source_id(0)), branch("twig", "trunk", 1, steps=1)])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        assert run(pipeline, ["twig"]) == {"twig": VideoState.WAITING}
        submitted(pipeline, "trunk")
        clock.skip(10_000)
        assert run(pipeline, ["twig"]) == {"twig": VideoState.WAITING}
        assert states(pipeline, "trunk") == [S.SUBMITTED]
        assert run(pipeline, ["twig", "trunk"]) == {"trunk": VideoState.COMPLETE, "twig": VideoState.COMPLETE}
    assert len(home.sandbox.tasks()) == 2


def test_what_another_process_sends_for_another_video_is_not_awaited(home: EngineHome) -> None:
    home.seeded(2)
    with home.open() as pipeline:
        declare_catalogue(pipeline)
        sent = request(OTHER, account="k")
        assert claim(pipeline.ledger, sent, now_ms=pipeline.now_ms(), caps={"k": CAPS["kling-main"]}).claimed
        idle = Round(replace(plan(plan_input(pipeline)), videos=()))
        assert next_moment_ms(pipeline, idle, videos=frozenset({CHOSEN})) is None
        assert next_moment_ms(pipeline, idle, videos=frozenset({OTHER})) is not None
        assert next_moment_ms(pipeline, idle) is not None
