"""An operator decides about the attempt as it was shown. Where a look-up, another operator or the catalogue has changed
it meanwhile, the decision is declined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.doubt.recover import recover
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive, entry, source_id
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text

LOST_AFTER = {"kind": "reset_after", "where": "submit"}
FAILS = {"kind": "fail_task", "where": "submit"}
DECISIONS = {"resubmit": resolve.resubmit, "write-off": resolve.write_off}


class InterruptedClock(JumpClock):
    """A clock that calls `interrupt` once before its next reading, which a decision does between read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupt: Callable[[], Any] | None = None

    def __call__(self) -> int:
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        return super().__call__()


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_task_found_during_a_decision_is_neither_given_up_nor_paid_again(decision: str, home: EngineHome) -> None:
    home.seeded(1)
    clock = InterruptedClock()
    with home.open(clock) as pipeline, home.open(JumpClock()) as other_process:
        home.sandbox.faults([LOST_AFTER])
        assert advance(pipeline, publish=False).submitted.in_doubt == ["v000/1"]
        clock.interrupt = lambda: recover(other_process)
        resolution = DECISIONS[decision](pipeline, "v000/1", who="ann", why="not in the console")
        assert isinstance(resolution, resolve.Declined)
        check_user_text(resolution.message)
        drive(pipeline)
        totals = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
    assert (totals.charges, totals.states) == (1, {"stored": 1})


@pytest.mark.parametrize("decision", DECISIONS)
def test_two_operators_who_saw_the_same_failure_pay_for_one_more_try(decision: str, home: EngineHome) -> None:
    home.seeded(1)
    home.sandbox.faults([{**FAILS, "times": 2}])
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        first_seen = second_seen = resolve.newest_attempt(pipeline, "v000/1")
        assert isinstance(resolve.resubmit(pipeline, "v000/1", who="ann", why="", seen=first_seen), resolve.Resolved)
        drive(pipeline)  # it fails again, which the second operator has not seen
        late = DECISIONS[decision](pipeline, "v000/1", who="ben", why="", seen=second_seen)
        assert isinstance(late, resolve.Declined)
        check_user_text(late.message)
        drive(pipeline)
        assert len(home.sandbox.tasks()) == 2


def test_a_decision_concerns_the_parameters_that_the_catalogue_has_now(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    home.sandbox.faults([{**FAILS, "times": 2}])
    home.write([entry("v", source_id(0), steps=1, prompt="fog")])
    with home.open(JumpClock()) as pipeline:
        for prompt in ("fog", "snow", "fog"):
            home.catalogue([entry("v", source_id(0), steps=1, prompt=prompt)])
            (video,) = drive(pipeline).videos
            assert video.blocker is not None
            assert video.blocker.reason is BlockReason.FAILED
        assert isinstance(resolve.resubmit(pipeline, "v/1", who="ann", why=""), resolve.Resolved)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        table = tables.attempts
        with pipeline.ledger.read() as connection:
            query = select(table.c.params, table.c.generation, table.c.state).order_by(table.c.claimed_at)
            attempts = [("fog" in row.params, row.generation, row.state) for row in connection.execute(query)]
    assert attempts == [(True, 1, "failed"), (False, 1, "failed"), (True, 2, "stored")]


def test_an_adoption_is_declined_where_the_task_was_found_meanwhile(home: EngineHome) -> None:
    home.seeded(1)
    clock = InterruptedClock()
    with home.open(clock) as pipeline, home.open(JumpClock()) as other_process:
        home.sandbox.faults([LOST_AFTER])
        advance(pipeline, publish=False)
        clock.interrupt = lambda: recover(other_process)
        resolution = resolve.adopt(pipeline, "v000/1", home.sandbox.tasks()[0]["task_id"], who="ann", why="")
        assert isinstance(resolution, resolve.Declined)
        check_user_text(resolution.message)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1


def test_a_task_of_another_accounts_attempt_is_not_adopted(home: EngineHome) -> None:
    """Two accounts with the same keys, at a provider whose tasks don't name what they were made from."""
    entries = [planted(home, "luma", number) for number in (0, 1)]
    entries[1]["account"] = "twin"
    home.write(entries, *(other_account("luma", home.sandbox.base_url, name=name) for name in ("luma", "twin")))
    with home.open(JumpClock()) as pipeline:
        home.sandbox.faults([{**LOST_AFTER, "match": {"provider": "luma", "video_id": "luma-source-1"}}])
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            tasks = connection.execute(select(tables.attempts.c.task_id).order_by("video_key")).scalars().all()
        assert tasks[0] is not None
        assert tasks[1] is None
        resolution = resolve.adopt(pipeline, "luma-1/1", tasks[0], who="ann", why="")
        assert isinstance(resolution, resolve.Declined)
        assert tasks[0] in resolution.message
        check_user_text(resolution.message)


def test_a_decision_after_a_write_off_is_declined_and_names_the_operator_who_wrote_off(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    home.write([entry("v", source_id(0))], account(home.sandbox.base_url, submit_class="D"))
    with home.open(JumpClock()) as pipeline:
        home.sandbox.faults([LOST_AFTER])
        drive(pipeline)
        seen = resolve.newest_attempt(pipeline, "v/1")
        assert isinstance(resolve.write_off(pipeline, "v/1", who="ann", why="", seen=seen), resolve.Resolved)
        for decide in DECISIONS.values():
            late = decide(pipeline, "v/1", who="ben", why="", seen=seen)
            assert isinstance(late, resolve.Declined)
            check_user_text(late.message)
        drive(pipeline)
        assert len(home.sandbox.tasks()) == 1
