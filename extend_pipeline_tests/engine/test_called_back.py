"""What speaks against a task that a callback named, as a table; and looks that go on on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.called_back import SKEW_MS, objection
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.outcomes import TaskState, TaskView
from extend_pipeline.sandbox import GatewayConfig
from extend_pipeline_tests.callbacks.receiving import (
    called_back_home,
    free_port,
    inbox_rows,
    open_receiving,
    tokens_of,
)
from extend_pipeline_tests.support.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.reckoning import reckon, replays_to_the_same

SENT = 1_795_000_000_000
DEADLINE = 60_000
ROW: Any = SimpleNamespace(external_task_id="ours", parent_video_id="parent", sending_at=SENT)


def view(**fields: Any) -> TaskView:
    """A task as a GET shows it."""
    return TaskView(**{"task_id": "7", "state": TaskState.PROCESSING, "status_word": "processing", **fields})


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (view(external_task_id="ours"), ""),
        (view(parent_video_id="parent"), ""),
        (view(external_task_id="ours", parent_video_id="parent", created_ms=1), ""),
        (view(created_ms=SENT), ""),
        (view(created_ms=SENT - SKEW_MS), ""),
        (view(created_ms=SENT + DEADLINE + SKEW_MS), ""),
        (view(task_id="8", external_task_id="ours"), "the answer is about task 8"),
        (view(external_task_id="theirs"), "not made from the same video"),
        (view(external_task_id="theirs", parent_video_id="parent"), "not made from the same video"),
        (view(external_task_id="ours", parent_video_id="another"), "not made from the same video"),
        (view(parent_video_id="another", created_ms=SENT), "not made from the same video"),
        (view(created_ms=SENT - SKEW_MS - 1), "not made when this attempt was sent"),
        (view(created_ms=SENT + DEADLINE + SKEW_MS + 1), "not made when this attempt was sent"),
        (view(), "neither what it was made from nor when"),
    ],
)
def test_what_a_task_tells_of_itself_decides(shown: TaskView, words: str) -> None:
    against = objection(ROW, shown, asked="7", post_deadline_ms=DEADLINE)
    assert words in against
    assert bool(words) == bool(against)


def test_a_doubt_clears_up_by_a_callback_on_both_databases(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url, gateway=GatewayConfig(passes=frozenset({"callback_url"})))
    port, clock = free_port(), JumpClock()
    called_back_home(home, "kling-gateway", port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        true = home.sandbox.tasks()[0]["task_id"]
        for name in ("wrong", true, "wrong too"):
            assert receiver.post(tokens[0], json.dumps({"task_id": name}).encode()) == 204
        assert advance(pipeline, publish=False).recovered.found == ["kling-gateway-0/1"]
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert {row.task_id: row.note for row in inbox_rows(pipeline.ledger)}[true] == "found"
        found = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
    assert (found.charges, found.states) == (1, {"stored": 1})
