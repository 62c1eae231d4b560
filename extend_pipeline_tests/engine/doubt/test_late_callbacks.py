"""Callbacks that name the task of an attempt which has ended, and tasks of videos that have left the catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Resolved, write_off
from extend_pipeline.engine.doubt.callback_lookup import MAX_LOOKUPS
from extend_pipeline.engine.drive import next_wait_ms
from extend_pipeline.engine.polling.schedule import CALLBACK_LOOKUP_FIRST_MS
from extend_pipeline.engine.reconcile.adopt_task import adopt_task
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import ADOPTED
from extend_pipeline.sandbox import GatewayConfig
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.webhooks.receiving import called_back_home, open_receiving, tokens_of

ID_OF = {"kling-gateway": "task_id", "luma": "id", "kling": "task_id"}


@pytest.mark.parametrize("early", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("provider", ["kling-gateway", "luma"])
def test_the_task_of_a_written_off_attempt_is_adopted_by_a_callback(
    provider: str, early: bool, make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url, gateway=GatewayConfig(passes=frozenset({"callback_url"})))
    port, clock = free_port(), JumpClock()
    called_back_home(home, provider, port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        (task,) = home.sandbox.tasks()
        body = json.dumps({ID_OF[provider]: task["task_id"]}).encode()
        if early:
            assert receiver.post(tokens[0], body) == 204
        assert isinstance(write_off(pipeline, f"{provider}-0/1", who="ann", why="in a hurry"), Resolved)
        if not early:
            assert receiver.post(tokens[0], body) == 204
        before = status(pipeline).accounts[0].committed
        assert advance(pipeline, publish=False).recovered.found == [f"{provider}-0/1"]
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            table = tables.attempts
            states = dict(connection.execute(select(table.c.chain_digest, table.c.state)).all())
        assert states.pop(ADOPTED) == "stored"
        assert list(states.values()) == ["written_off"]
        assert status(pipeline).accounts[0].committed == before
        assert len(home.sandbox.charges()["charges"]) == 1
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, home.path)


def test_a_callback_that_proves_nothing_is_a_question_with_its_commands(make_home: Callable[..., EngineHome]) -> None:
    home = make_home()
    port, clock = free_port(), JumpClock()
    called_back_home(home, "luma", port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    foreign = home.sandbox.foreign_task(provider="luma", age=86_400)["task_id"]
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        assert isinstance(write_off(pipeline, "luma-0/1", who="ann", why=""), Resolved)
        for name in (foreign, "not-there"):
            assert receiver.post(tokens[0], json.dumps({"id": name}).encode()) == 204
        for _ in range(MAX_LOOKUPS + 1):
            advance(pipeline, publish=False)
            clock.skip(CALLBACK_LOOKUP_FIRST_MS * 2**MAX_LOOKUPS)
        (row,) = status(pipeline).disagreements
        assert (row.source, row.task_id) == ("callback", foreign)
        assert foreign in row.note
        check_user_text(row.note)
        assert status(pipeline).exit_code == 1
        with pipeline.ledger.read() as connection:
            assert connection.execute(select(tables.schedule)).all() == []
        assert isinstance(adopt_task(pipeline, "luma", foreign, who="ann", why=""), Resolved)
        assert status(pipeline).disagreements == ()


def test_a_removed_video_whose_task_never_ends_holds_nothing_up(home: EngineHome, ledger_url: str) -> None:
    home.ledger_url = ledger_url
    gateway = other_account("kling-gateway", home.sandbox.base_url, patience=600)
    home.write([planted(home, "kling-gateway", 0)], gateway)
    home.sandbox.faults([{"kind": "5xx_before", "where": "query", "times": 9999}])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        home.catalogue([])
        assert next_wait_ms(pipeline, advance(pipeline, publish=False)) is not None
        assert status(pipeline).leftover_tasks == ()
        clock.skip(601_000)
        for _ in range(3):
            now = advance(pipeline, publish=False)
        assert next_wait_ms(pipeline, now) is None
        (task,) = status(pipeline).leftover_tasks
        assert (task.video_key, task.hop) == ("kling-gateway-0", 1)
        check_user_text(task.todo)
        assert status(pipeline).exit_code == 1
        home.sandbox.clear_faults()
        clock.skip(600_000)
        drive(pipeline)
        assert status(pipeline).leftover_tasks == ()
        with pipeline.ledger.read() as connection:
            assert connection.execute(select(tables.attempts.c.state)).scalars().all() == ["stored"]
