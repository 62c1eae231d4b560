"""What callbacks are for: an attempt in doubt is recovered, and a changed task is seen at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.config.last_good import last_good_path
from extend_pipeline.dagster_defs.sensors.due import what_is_due
from extend_pipeline.engine.advance import advance
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.hints import webhook_inbox
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive, eventually
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.webhooks.receiving import (
    CALLED_BACK,
    attempts,
    await_inbox,
    called_back_account,
    called_back_home,
    due_at,
    gets_sent,
    inbox_rows,
    open_receiving,
    tokens_of,
)

LOST: dict[str, dict[str, Any]] = {
    "after the connection broke": {"kind": "reset_after", "where": "submit"},
    "while no response came": {"kind": "timeout_after", "where": "submit", "hold": 3},
}


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("provider", CALLED_BACK)
def test_a_submit_whose_response_was_lost_is_recovered_by_its_callback(
    provider: str, how: str, home: EngineHome
) -> None:
    port = free_port()
    called_back_home(home, provider, port)
    home.sandbox.faults([LOST[how]])
    with open_receiving(home, port=port), home.open(JumpClock()) as pipeline:
        assert len(advance(pipeline, publish=False).submitted.in_doubt) == 1
        rows = await_inbox(pipeline.ledger, 1)
        assert advance(pipeline, publish=False).recovered.found
        assert {row.task_id for row in rows} == {home.sandbox.tasks()[0]["task_id"]}
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        result = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
    assert (result.charges, result.states) == (1, {"stored": 1})


def test_a_tick_of_dagsters_sensor_sees_the_task_that_a_callback_named(home: EngineHome) -> None:
    port = free_port()
    called_back_home(home, "luma", port)
    home.sandbox.faults([{"kind": "callback_drop"}, LOST["after the connection broke"]])
    with open_receiving(home, port=port) as receiver, home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        nothing_to_look_up = what_is_due(pipeline, ["luma"])
        receiver.post(tokens[0], b'{"id": "%s"}' % home.sandbox.tasks()[0]["task_id"].encode())
        named = what_is_due(pipeline, ["luma"])
        assert named != nothing_to_look_up
        check_user_text(named)
        assert advance(pipeline, publish=False).recovered.found == ["luma-0/1"]
        assert what_is_due(pipeline, ["luma"]) == nothing_to_look_up


@pytest.mark.parametrize("provider", CALLED_BACK)
def test_without_a_receiver_the_same_waits_for_the_operator(provider: str, home: EngineHome) -> None:
    called_back_home(home, provider, free_port())
    home.sandbox.faults([LOST["after the connection broke"]])
    with home.open(JumpClock()) as pipeline:
        waiting = drive(pipeline).videos[0]
    assert waiting.blocker is not None
    assert waiting.blocker.reason is BlockReason.IN_DOUBT


def test_signed_callbacks_of_an_account_with_a_secret_are_accepted(
    sandbox_of: Callable[..., EngineHome], secret: str
) -> None:
    home, port = sandbox_of(webhook_secret=secret), free_port()
    called_back_home(home, "kling", port, signed=True)
    home.sandbox.faults([LOST["after the connection broke"]])
    with open_receiving(home, port=port) as receiver, home.open(JumpClock()) as pipeline:
        advance(pipeline, publish=False)
        await_inbox(pipeline.ledger, 1)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1
        assert receiver.counts.total == {"kept": 1}


def test_a_callback_makes_its_task_due_now_and_nothing_else(sandbox_of: Callable[..., EngineHome]) -> None:
    home, port, clock = sandbox_of(run_time=(1000, 1000)), free_port(), JumpClock()
    called_back_home(home, "kling", port, poll={"first_after": 600, "every": 600})
    with open_receiving(home, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        row = attempts(pipeline.ledger)[0]
        await_inbox(pipeline.ledger, 1)
        advance(pipeline, publish=False)  # looks once, for "submitted", which came as a callback
        later = due_at(pipeline.ledger, row.attempt_id)
        assert later is not None
        assert later > pipeline.now_ms() + 300_000
        before = gets_sent(home)
        for number in range(20):
            assert receiver.post(tokens[0], b'{"task_id": "%s", "n": %d}' % (row.task_id.encode(), number)) == 204
        assert (attempts(pipeline.ledger)[0].state, gets_sent(home)) == (row.state, before)
        assert (due_at(pipeline.ledger, row.attempt_id) or later) <= pipeline.now_ms()
        advance(pipeline, publish=False)
        advance(pipeline, publish=False)
        assert gets_sent(home) == before + 1  # 20 callbacks, one GET
        assert attempts(pipeline.ledger)[0].state == "submitted"


def test_a_success_that_a_callback_names_is_stored_long_before_the_next_poll(
    sandbox_of: Callable[..., EngineHome],
) -> None:
    home, port, clock = sandbox_of(run_time=(1000, 1000)), free_port(), JumpClock()
    called_back_home(home, "luma", port, poll={"first_after": 86_400, "every": 86_400})
    with open_receiving(home, port=port), home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        home.sandbox.set_offset(1001)
        await_inbox(pipeline.ledger, 3)

        def stored() -> bool:
            advance(pipeline, publish=False)
            return attempts(pipeline.ledger)[0].state == "stored"

        eventually(stored)


@pytest.mark.parametrize("kind", ["callback_double", "callback_reorder"])
def test_callbacks_that_come_twice_or_backwards_change_nothing(
    kind: str, sandbox_of: Callable[..., EngineHome]
) -> None:
    home, port = sandbox_of(run_time=(0.4, 0.4)), free_port()
    called_back_home(home, "luma", port, 2)
    home.sandbox.faults([{"kind": kind, "times": 2}, LOST["after the connection broke"]])
    with open_receiving(home, port=port) as receiver, home.open(JumpClock()) as pipeline:
        advance(pipeline, publish=False)
        await_inbox(pipeline.ledger, 6)
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        result = reckon(home, pipeline.ledger)
        eventually(lambda: sum(receiver.counts.total.values()) == (12 if kind == "callback_double" else 6))
    assert (result.charges, result.states) == (2, {"stored": 2})
    assert receiver.counts.total["kept"] == 6


def test_late_callbacks_are_kept_and_do_nothing(sandbox_of: Callable[..., EngineHome]) -> None:
    home, port = sandbox_of(run_time=(0.3, 0.3)), free_port()
    called_back_home(home, "kling-gateway", port)
    home.sandbox.faults([{"kind": "callback_late", "hold": 3_600}])
    with open_receiving(home, port=port), home.open(JumpClock()) as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        events = [row.seq for row in attempts(pipeline.ledger)]
        home.sandbox.set_offset(3_601)
        rows = await_inbox(pipeline.ledger, 3)
        assert {row.body for row in rows} == {""}  # it repeats a known state
        assert due_at(pipeline.ledger, rows[0].attempt_id) is None
        advance(pipeline, publish=False)
        assert [row.seq for row in attempts(pipeline.ledger)] == events


def test_a_video_whose_callbacks_never_come_is_completed_by_polling(home: EngineHome) -> None:
    port = free_port()
    called_back_home(home, "kling", port)
    home.sandbox.faults([{"kind": "callback_drop"}])
    with open_receiving(home, port=port), home.open(JumpClock()) as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert inbox_rows(pipeline.ledger) == []


def test_a_class_a_account_looks_up_by_its_key_and_a_callback_only_hurries_it(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    home.seeded(1)
    slow = {"settle": 3_600, "absences": 3}
    home.accounts(called_back_account("kling", home.sandbox.base_url, port, submit_class="A", in_doubt=slow))
    silent = {"kind": "html", "where": "query", "times": 99}
    home.sandbox.faults([{"kind": "callback_drop"}, LOST["after the connection broke"], silent])
    with open_receiving(home, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        advance(pipeline, publish=False)  # its look-up met pages of HTML; the next is in 20 minutes
        row = attempts(pipeline.ledger)[0]
        assert (row.state, (due_at(pipeline.ledger, row.attempt_id) or 0) > clock() + 600_000) == ("in_doubt", True)
        home.sandbox.clear_faults()
        before = gets_sent(home)
        assert receiver.post(tokens[0], b'{"task_id": "unrelated-task"}') == 204
        assert advance(pipeline, publish=False).recovered.found == ["v000/1"]
        assert inbox_rows(pipeline.ledger)[0].looked_at is None  # the named task was never queried
        assert gets_sent(home) == before + 2  # the look-up by our key, and a poll
        assert reckon(home, pipeline.ledger).charges == 1


def test_a_withdrawn_video_and_a_removed_account_are_no_error(home: EngineHome) -> None:
    port = free_port()
    called_back_home(home, "luma", port)
    home.sandbox.faults([{"kind": "callback_drop"}, LOST["after the connection broke"]])
    with open_receiving(home, port=port) as receiver, home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        task = home.sandbox.tasks()[0]["task_id"]
        home.write([], called_back_account("kling", home.sandbox.base_url, port))
        last_good_path(home.settings.state_dir).unlink()  # otherwise the account's last good entry still holds
        assert receiver.post(tokens[0], b'{"id": "%s"}' % task.encode()) == 204
        advance(pipeline, publish=False)
        assert attempts(pipeline.ledger)[0].state == "in_doubt"
        assert [row.task_id for row in await_inbox(pipeline.ledger, 1)] == [task]
        home.accounts(
            called_back_account("luma", home.sandbox.base_url, port)
        )  # the account is back, the video still withdrawn
        assert advance(pipeline, publish=False).recovered.found == ["luma-0/1"]
        drive(pipeline)
        assert reckon(home, pipeline.ledger).states == {"stored": 1}


def test_the_ledger_has_the_address_as_a_digest_alone(home: EngineHome) -> None:
    port = free_port()
    called_back_home(home, "luma", port)
    with open_receiving(home, port=port) as receiver, home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        assert len(tokens[0]) == 43
        receiver.post(tokens[0], b'{"id": "x", "notify_hook": "http://h/%s"}' % tokens[0].encode())
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        await_inbox(pipeline.ledger, 2)
        row = attempts(pipeline.ledger)[0]
        assert row.callback_digest == webhook_inbox.token_digest(tokens[0])
        assert "[token]" in row.request
    for path in home.path.rglob("*"):
        assert not path.is_file() or tokens[0].encode() not in path.read_bytes(), path
    assert not any(tokens[0] in line for line in receiver.lines)
