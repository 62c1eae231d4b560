"""Accounts that changed their class: what was sent without our key is not held to be absent because no look-up by that
key finds it, and what a look-up can't find any more blocks nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.dagster_defs.sensors.due import what_is_due
from extend_pipeline.engine.advance import advance
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.sandbox import GatewayConfig
from extend_pipeline_tests.engine.doubt.test_recover import ELSEWHERE, LEASE_MS, claimed_by
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import planted
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.webhooks.receiving import (
    attempts,
    called_back_account,
    called_back_home,
    due_at,
    open_receiving,
    tokens_of,
)

PROMOTED: dict[str, Any] = {
    "submit_class": "A",
    "passes": ["callback_url", "external_task_id"],
    "in_doubt": {"settle": 10, "absences": 2},
}
LOST_WITHOUT_CALLBACK: list[dict[str, Any]] = [
    {"kind": "callback_drop", "times": 9},
    {"kind": "reset_after", "where": "submit"},
]


@pytest.fixture
def home(make_home: Callable[..., EngineHome]) -> EngineHome:
    """Return a home whose gateway takes our own key and finds tasks by it, declared or not."""
    return make_home(gateway=GatewayConfig(passes=frozenset(PROMOTED["passes"]), finds_own_ids=True))


def rewrite(home: EngineHome, entries: list[dict[str, Any]], port: int, **changes: Any) -> None:
    """Write the account file with these changes."""
    home.write(entries, called_back_account("kling-gateway", home.sandbox.base_url, port, **changes))


def test_a_doubt_from_before_a_promotion_waits_for_its_callback_and_is_never_paid_again(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    entries = called_back_home(home, "kling-gateway", port)
    home.sandbox.faults(LOST_WITHOUT_CALLBACK)
    with home.open(clock) as pipeline, open_receiving(home, clock, port=port) as receiver:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        task_id = home.sandbox.tasks()[0]["task_id"]
        rewrite(home, [*entries, planted(home, "kling-gateway", 7)], port, **PROMOTED)
        pipeline.refresh()
        drive(pipeline)  # the second video's task is found by its key: the control of a look-up
        receiver.post(tokens[0], json.dumps({"task_id": "not-there"}).encode())
        for _ in range(8):
            advance(pipeline, publish=False)
            clock.skip(20_000)
        assert attempts(pipeline.ledger)[0].state == "in_doubt"
        blocker = drive(pipeline).videos[0].blocker
        assert blocker is not None
        assert blocker.reason is BlockReason.IN_DOUBT
        check_user_text(blocker.message)
        receiver.post(tokens[0], json.dumps({"task_id": task_id}).encode())
        assert advance(pipeline, publish=False).recovered.found == ["kling-gateway-0/1"]
        drive(pipeline)
        totals = reckon(home, pipeline.ledger)
    assert (totals.charges, totals.states) == (2, {"stored": 2})


def test_an_interrupted_send_from_before_a_promotion_is_not_proved_absent(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    entries = called_back_home(home, "kling-gateway", port)
    with home.open(clock) as pipeline:
        attempt_id = claimed_by(pipeline, ELSEWHERE, sending=True)
        rewrite(home, [*entries, planted(home, "kling-gateway", 7)], port, **PROMOTED)
        pipeline.refresh()
        drive(pipeline)
        clock.skip(LEASE_MS)
        for _ in range(4):
            advance(pipeline, publish=False)
            clock.skip(20_000)
        states = {row.attempt_id: row.state for row in attempts(pipeline.ledger)}
        assert (states[attempt_id], len(states)) == ("in_doubt", 2)
        assert due_at(pipeline.ledger, attempt_id) is None
        assert what_is_due(pipeline, list(pipeline.accounts)) == ""


def test_a_doubt_of_an_account_that_is_no_longer_class_a_is_left_to_the_operator(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    entries = called_back_home(home, "kling-gateway", port, **PROMOTED)
    home.sandbox.faults([*LOST_WITHOUT_CALLBACK, {"kind": "html", "where": "query", "times": 99}])
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        advance(pipeline, publish=False)
        row = attempts(pipeline.ledger)[0]
        assert (row.state, due_at(pipeline.ledger, row.attempt_id) is None) == ("in_doubt", False)
        rewrite(home, entries, port)
        pipeline.refresh()
        clock.skip(60_000)
        blocker = drive(pipeline).videos[0].blocker
        assert blocker is not None
        assert blocker.reason is BlockReason.IN_DOUBT
        check_user_text(blocker.todo)
        assert due_at(pipeline.ledger, row.attempt_id) is None
        assert what_is_due(pipeline, list(pipeline.accounts)) == ""
