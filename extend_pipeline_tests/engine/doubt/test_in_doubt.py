"""Attempts in doubt are looked up, proved absent only with a control, or decided by the operator; never guessed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from sqlalchemy import Row, select

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.reconciliation import UnmatchedTask, adopt_unmatched
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Provider, SubmitOutcome, SubmitRequest
from extend_pipeline_tests.support.home.engine_home import (
    EngineHome,
    JumpClock,
    account,
    drive,
    entry,
    impatient_provider,
    source_id,
)
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.user_texts import check_user_text

LOST_BEFORE = {"kind": "reset_before", "where": "submit"}
LOST_AFTER = {"kind": "reset_after", "where": "submit"}


def known_task(home: EngineHome, clock: JumpClock, **changes: Any) -> list[dict[str, Any]]:
    """Make one task that is known to exist, and a second video that was not submitted yet; return both entries."""
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in (0, 1)])
    entries = [entry("known", source_id(0)), entry("v", source_id(1))]
    home.write(entries[:1], account(home.sandbox.base_url, **changes))
    with home.open(clock) as pipeline:
        drive(pipeline)
    home.catalogue(entries)
    return entries


def video(pipeline: Pipeline, key: str = "v") -> VideoPlan:
    return next(video_plan for video_plan in plan(plan_input(pipeline)).videos if video_plan.key == key)


def row(pipeline: Pipeline, key: str = "v") -> Row[Any]:
    """Return the newest attempt of a video."""
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        query = select(table).where(table.c.video_key == key).order_by(table.c.claimed_at.desc(), table.c.seq.desc())
        return connection.execute(query).first()  # type: ignore[return-value]


def test_a_task_that_was_made_is_found_by_its_own_key(home: EngineHome) -> None:
    home.seeded(1)
    home.sandbox.faults([LOST_AFTER])
    with home.open(JumpClock()) as pipeline:
        assert advance(pipeline, publish=False).submitted.in_doubt == ["v000/1"]
        assert status(pipeline).doubts[0].attempt.where == "v000/1"
        assert advance(pipeline, publish=False).recovered.found == ["v000/1"]
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1


def test_not_found_counts_only_after_the_settle_window_and_several_times(home: EngineHome) -> None:
    clock = JumpClock()
    known_task(home, clock, in_doubt={"settle": 100, "absences": 3})
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_BEFORE])
        advance(pipeline, publish=False)
        looks = []
        for _ in range(12):
            advance(pipeline, submit=False, publish=False)
            looks.append((row(pipeline).state, row(pipeline).absences))
            clock.skip(12_000)
        assert looks[0] == ("in_doubt", 1)
        assert looks[:9] == sorted(looks[:9])
        early = [entry for entry, _ in zip(looks, range(9), strict=False)]  # 8 × 12 s is not yet the window
        assert {state for state, _ in early} == {"in_doubt"}
        assert max(count for _, count in early) == 3
        assert looks[-1][0] == "released"
        assert drive(pipeline).videos[1].state is VideoState.COMPLETE
        totals = reckon(home, pipeline.ledger)
    assert totals.charges == 2
    assert totals.states == {"stored": 2, "released": 1}


def test_without_a_known_task_a_look_up_proves_nothing_and_needs_the_operator(home: EngineHome) -> None:
    home.seeded(1)
    home.sandbox.faults([LOST_BEFORE])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        waiting = drive(pipeline).videos[0]
        assert waiting.blocker is not None
        assert waiting.blocker.reason is BlockReason.IN_DOUBT
        check_user_text(waiting.blocker.message)
        for _ in range(5):
            clock.skip(600_000)
            advance(pipeline, publish=False)
        assert (row(pipeline, "v000").state, row(pipeline, "v000").absences) == ("in_doubt", 0)
        assert status(pipeline).exit_code == 1


def test_a_control_that_fails_does_not_count(home: EngineHome) -> None:
    clock = JumpClock()
    known_task(home, clock)
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_BEFORE, {"kind": "code_1203", "where": "query", "times": 99}])
        for _ in range(6):
            advance(pipeline, publish=False)
            clock.skip(10_000)
        assert (row(pipeline).state, row(pipeline).absences) == ("in_doubt", 0)
        planned = plan_input(pipeline)
        check_user_text(planned.looks[planned.attempts["v"][0].attempt_id].note)
        home.sandbox.clear_faults()
        assert drive(pipeline).videos[1].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 2


def test_a_look_up_without_a_response_does_not_count(home: EngineHome) -> None:
    clock = JumpClock()
    known_task(home, clock)
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_BEFORE, {"kind": "html", "where": "query", "times": 60}])
        for _ in range(6):
            advance(pipeline, publish=False)
            clock.skip(10_000)
        assert (row(pipeline).state, row(pipeline).absences) == ("in_doubt", 0)


@pytest.mark.parametrize("submit_class", ["C", "D"])
def test_without_a_key_of_our_own_only_the_operator_decides(submit_class: str, home: EngineHome) -> None:
    clock = JumpClock()
    known_task(home, clock, submit_class=submit_class)
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_AFTER])
        waiting = drive(pipeline).videos[1]
        assert waiting.blocker is not None
        assert waiting.blocker.reason is BlockReason.IN_DOUBT
        before = home.sandbox.requests()["total"]
        clock.skip(86_400_000)
        advance(pipeline, publish=False)
        assert row(pipeline).state == "in_doubt"
        assert home.sandbox.requests()["total"] == before
        task = home.sandbox.tasks()[-1]["task_id"]
        assert isinstance(resolve.adopt(pipeline, "v/1", task, who="ann", why=""), resolve.Resolved)
        assert drive(pipeline).videos[1].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 2


def test_only_a_task_of_the_same_parent_that_no_attempt_has_can_be_adopted(home: EngineHome) -> None:
    clock = JumpClock()
    entries = known_task(home, clock, submit_class="D")
    home.sandbox.seed([{"video_id": source_id(2), "duration": 5.0}])
    home.catalogue([*entries, entry("w", source_id(2))])
    with home.open(clock) as pipeline:
        home.sandbox.faults([{**LOST_AFTER, "times": 2}])
        drive(pipeline)
        tasks = {task["parent_video_id"]: task["task_id"] for task in home.sandbox.tasks()}
        for task in (tasks[source_id(2)], tasks[source_id(0)], "no-such-task"):
            resolution = resolve.adopt(pipeline, "v/1", task, who="ann", why="")
            assert isinstance(resolution, resolve.Declined), task
            check_user_text(resolution.message)
        unclear = resolve.adopt(pipeline, "known/1", tasks[source_id(1)], who="ann", why="")
        assert isinstance(unclear, resolve.Declined)
        check_user_text(unclear.message)
        assert isinstance(resolve.adopt(pipeline, "v/1", tasks[source_id(1)], who="ann", why=""), resolve.Resolved)
        assert isinstance(resolve.adopt(pipeline, "w/1", tasks[source_id(2)], who="ann", why=""), resolve.Resolved)
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 3


def test_a_task_of_another_attempt_is_not_adopted(home: EngineHome) -> None:
    """Two entries of one source: their tasks have the same parent, and only the ledger distinguishes them."""
    clock = JumpClock()
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    entries = [entry("one", source_id(0), prompt="a", steps=1), entry("two", source_id(0), prompt="b", steps=1)]
    home.write(entries, account(home.sandbox.base_url, submit_class="D"))
    with home.open(clock) as pipeline:
        home.sandbox.faults([{"kind": "missing_task_info", "where": "query", "times": 99}])
        advance(pipeline, publish=False)
        held = row(pipeline, "one").task_id
        assert held is not None
        drive(pipeline)
    home.catalogue([*entries, entry("three", source_id(0), prompt="c", steps=1)])
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_AFTER])
        drive(pipeline)
        resolution = resolve.adopt(pipeline, "three/1", held, who="ann", why="")
        assert isinstance(resolution, resolve.Declined), resolution
        assert row(pipeline, "three").state == "in_doubt"


@pytest.mark.parametrize("submit_class", ["A", "D"])
def test_resubmitting_a_doubt_books_its_charge_and_pays_again_in_a_new_generation(
    submit_class: str, home: EngineHome
) -> None:
    clock = JumpClock()
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    home.write([entry("v", source_id(0))], account(home.sandbox.base_url, submit_class=submit_class))
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_BEFORE])
        drive(pipeline)
        assert row(pipeline).state == "in_doubt"
        why = "not in the console"
        assert isinstance(resolve.resubmit(pipeline, "v/1", who="ann", why=why), resolve.Resolved)
        assert isinstance(resolve.resubmit(pipeline, "v/1", who="ann", why="twice"), resolve.Resolved)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        again = resolve.resubmit(pipeline, "v/1", who="ann", why="thrice")
        assert isinstance(again, resolve.Declined)
        totals = reckon(home, pipeline.ledger)
        with pipeline.ledger.read() as connection:
            table = tables.attempts
            rows = list(connection.execute(select(table).order_by(table.c.generation)))
        assert [(attempt.generation, attempt.state) for attempt in rows] == [(1, "written_off"), (2, "stored")]
        assert rows[0].external_task_id != rows[1].external_task_id
        assert status(pipeline).accounts[0].committed == 4
        actors = _actors(pipeline, "resubmit_allowed")
    assert totals.charges == 1
    assert actors[0] == f"ann ({why})"


def test_writing_a_doubt_off_books_its_charge_and_pays_nothing_more(home: EngineHome) -> None:
    clock = JumpClock()
    known_task(home, clock, submit_class="D")
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_AFTER])
        drive(pipeline)
        assert isinstance(resolve.write_off(pipeline, "v/1", who="ann", why="lost"), resolve.Resolved)
        waiting = drive(pipeline).videos[1]
        assert waiting.blocker is not None
        assert waiting.blocker.reason is BlockReason.WRITTEN_OFF
        assert isinstance(resolve.write_off(pipeline, "v/1", who="ann", why="lost"), resolve.Declined)
        assert isinstance(resolve.write_off(pipeline, "unknown/1", who="ann", why=""), resolve.Declined)
        assert reckon(home, pipeline.ledger).states == {"stored": 1, "written_off": 1}
        assert status(pipeline).accounts[0].committed == 4


@pytest.mark.parametrize("where", ["v", "v/", "/1", "v/0", "v/x", "v/1/"])
def test_an_argument_that_is_no_video_and_hop_is_refused_with_the_right_form(where: str) -> None:
    with pytest.raises(ValueError, match="VIDEO/HOP") as raised:
        resolve.split_where(where)
    check_user_text(str(raised.value))


def _actors(pipeline: Pipeline, kind: str) -> list[str]:
    with pipeline.ledger.read() as connection:
        query = select(tables.events.c.actor).where(tables.events.c.kind == kind).order_by(tables.events.c.seq)
        return list(connection.execute(query).scalars())


def test_a_doubt_that_stays_unresolved_needs_the_operator_and_is_looked_up_on(home: EngineHome) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        home.sandbox.faults([LOST_AFTER, {"kind": "html", "where": "query", "times": 999}])
        advance(pipeline, publish=False)
        reasons = []
        for _ in range(3):
            clock.skip(2_000_000)
            advance(pipeline, publish=False)
            blocker = video(pipeline, "v000").blocker
            assert blocker is not None
            reasons.append(blocker.reason)
        assert reasons == [BlockReason.IN_DOUBT_CHECKING, BlockReason.IN_DOUBT, BlockReason.IN_DOUBT]
        check_user_text(blocker.message)
        assert status(pipeline).exit_code == 1
        home.sandbox.clear_faults()
        clock.skip(60_000)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1


def test_a_task_that_was_adopted_without_a_key_is_no_control_for_keys(home: EngineHome) -> None:
    clock = JumpClock()
    known_task(home, clock)
    with home.open(clock) as pipeline:
        known = row(pipeline, "known")
        with pipeline.ledger.write(now_ms=clock(), actor="books") as tx:
            names = [field.name for field in fields(UnmatchedTask) if field.name not in ("created_ms", "zone")]
            adopted = {name: getattr(known, name) for name in names} | {
                "task_id": "made-by-hand",
                "external_task_id": "",
            }
            assert isinstance(adopt_unmatched(tx, UnmatchedTask(**adopted)), Moved)
            tx.connection.execute(tables.schedule.delete())  # it is not polled: the sandbox doesn't know it
        home.sandbox.faults([LOST_BEFORE])
        for _ in range(6):
            advance(pipeline, publish=False)
            clock.skip(10_000)
        assert row(pipeline).state == "stored"


@dataclass
class _RepeatingGateway:
    """A gateway that responds to every POST with its first task."""

    real: Provider
    first: list[SubmitOutcome] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        with self.lock:
            self.first.append(self.real.submit(request))
            return self.first[0]


def test_a_response_that_names_another_attempts_task_is_a_doubt_at_once(home: EngineHome) -> None:
    other_home(home, "kling-gateway", 2)

    def make(account: Account, *, settings: Settings) -> Any:
        return _RepeatingGateway(impatient_provider(account, settings=settings))

    with home.open(JumpClock(), make_provider=make) as pipeline:
        advance(pipeline, publish=False)
        (doubt,) = status(pipeline).doubts
        check_user_text(doubt.attempt.error_message or "")
        assert reckon(home, pipeline.ledger).charges == 2
