"""Which tasks that a callback named are refused, as a table; and look-ups of them on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.doubt.callback_lookup import MAX_LOOKUPS, SKEW_MS, mismatch_reason
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.schedule import CALLBACK_LOOKUP_FIRST_MS
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.protocol import TaskState, TaskView
from extend_pipeline.sandbox import GatewayConfig
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import planted
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.webhooks.receiving import (
    attempts,
    called_back_account,
    called_back_home,
    due_at,
    inbox_rows,
    open_receiving,
    tokens_of,
)

SENT = 1_795_000_000_000
DEADLINE = 60_000
ROW: Any = SimpleNamespace(external_task_id="ours", parent_video_id="parent", sending_at=SENT)


@pytest.fixture
def home(make_home: Callable[..., EngineHome]) -> EngineHome:
    """Return a home whose gateway passes callback addresses on."""
    return make_home(gateway=GatewayConfig(passes=frozenset({"callback_url"})))


def view(**fields: Any) -> TaskView:
    """Return a task as a GET shows it."""
    return TaskView(**{"task_id": "7", "state": TaskState.PROCESSING, "status_word": "processing", **fields})


@pytest.mark.parametrize(
    ("task", "mismatched"),
    [
        (view(external_task_id="ours"), False),
        (view(parent_video_id="parent"), False),
        (view(external_task_id="ours", parent_video_id="parent", created_ms=1), False),
        (view(created_ms=SENT), False),
        (view(created_ms=SENT - SKEW_MS), False),
        (view(created_ms=SENT + DEADLINE + SKEW_MS), False),
        (view(task_id="8", external_task_id="ours"), True),
        (view(external_task_id="theirs"), True),
        (view(external_task_id="theirs", parent_video_id="parent"), True),
        (view(external_task_id="ours", parent_video_id="another"), True),
        (view(parent_video_id="another", created_ms=SENT), True),
        (view(created_ms=SENT - SKEW_MS - 1), True),
        (view(created_ms=SENT + DEADLINE + SKEW_MS + 1), True),
        (view(), True),
    ],
)
def test_a_tasks_own_fields_decide_whether_it_matches(task: TaskView, mismatched: bool) -> None:
    reason = mismatch_reason(ROW, task, task_id="7", post_deadline_ms=DEADLINE)
    assert bool(reason) is mismatched
    check_user_text(reason)


def test_a_doubt_is_resolved_by_a_callback_on_both_databases(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url, gateway=GatewayConfig(passes=frozenset({"callback_url"})))
    port, clock = free_port(), JumpClock()
    called_back_home(home, "kling-gateway", port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        task_id = home.sandbox.tasks()[0]["task_id"]
        for name in ("wrong", task_id, "wrong too"):
            assert receiver.post(tokens[0], json.dumps({"task_id": name}).encode()) == 204
        assert advance(pipeline, publish=False).recovered.found == ["kling-gateway-0/1"]
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert {row.task_id: row.note for row in inbox_rows(pipeline.ledger)}[task_id] == "found"
        totals = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
    assert (totals.charges, totals.states) == (1, {"stored": 1})


def test_one_no_such_task_after_an_outage_ends_no_look_up(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    called_back_home(home, "kling-gateway", port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        row = attempts(pipeline.ledger)[0]
        outage = [{"kind": "code_1000", "where": "query", "times": MAX_LOOKUPS + 1}]
        home.sandbox.faults([*outage, {"kind": "code_1203", "where": "query"}])
        receiver.post(tokens[0], json.dumps({"task_id": home.sandbox.tasks()[0]["task_id"]}).encode())
        for _ in range(MAX_LOOKUPS + 2):
            assert advance(pipeline, publish=False).recovered.found == []
            clock.skip((due_at(pipeline.ledger, row.attempt_id) or 0) - clock())
        assert advance(pipeline, publish=False).recovered.found == ["kling-gateway-0/1"]


def test_the_blocker_names_the_tasks_of_callbacks_and_why_they_were_refused(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    called_back_home(home, "luma", port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    foreign = home.sandbox.foreign_task(provider="luma", age=86_400)["task_id"]
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)

        def message_and_todo() -> tuple[str, str]:
            blocker = plan(plan_input(pipeline)).videos[0].blocker
            assert blocker is not None
            return blocker.message, blocker.todo

        advance(pipeline, publish=False)
        check_user_text(message_and_todo()[1])
        receiver.post(tokens[0], json.dumps({"id": "not-there"}).encode())
        advance(pipeline, publish=False)
        check_user_text(message_and_todo()[0])
        receiver.post(tokens[0], json.dumps({"id": foreign}).encode())
        drive(pipeline)
        clock.skip(CALLBACK_LOOKUP_FIRST_MS * 2**MAX_LOOKUPS)
        for _ in range(MAX_LOOKUPS):
            advance(pipeline, publish=False)
            clock.skip(CALLBACK_LOOKUP_FIRST_MS * 2**MAX_LOOKUPS)
        message, todo = message_and_todo()
        assert foreign in message
        check_user_text(message)
        check_user_text(todo)


def test_no_blocker_waits_for_a_callback_once_no_task_could_still_run(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    called_back_home(home, "kling-gateway", port, patience=600)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        todos = []
        for _ in range(2):
            blocker = plan(plan_input(pipeline)).videos[0].blocker
            assert blocker is not None
            todos.append(blocker.todo)
            clock.skip(601_000)
        check_user_text("\n".join(todos))


def test_a_task_of_an_account_with_the_same_credentials_is_not_adopted_again(home: EngineHome) -> None:
    port = free_port()
    first, second = (
        called_back_account("luma", home.sandbox.base_url, port, name=name) for name in ("luma", "luma-again")
    )
    entries = [planted(home, "luma", 0), {**planted(home, "luma", 1), "account": "luma-again"}]
    home.write(entries[:1], first, second)
    home.sandbox.faults([{"kind": "callback_drop", "times": 2}])
    with open_receiving(home, port=port) as receiver, home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        drive(pipeline)
        home.catalogue(entries)
        home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
        pipeline.refresh()
        advance(pipeline, publish=False)
        held, true = (task["task_id"] for task in home.sandbox.tasks())
        receiver.post(tokens[-1], json.dumps({"id": held}).encode())
        assert advance(pipeline, publish=False).recovered.found == []
        check_user_text(inbox_rows(pipeline.ledger)[0].note)
        receiver.post(tokens[-1], json.dumps({"id": true}).encode())
        assert advance(pipeline, publish=False).recovered.found == ["luma-1/1"]
