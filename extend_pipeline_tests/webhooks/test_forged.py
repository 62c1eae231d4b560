"""Forged callbacks: no task is adopted unless a GET with our credentials shows that it is ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.doubt import callback_lookup
from extend_pipeline.engine.doubt.callback_lookup import MAX_LOOKUPS
from extend_pipeline.engine.polling.schedule import CALLBACK_LOOKUP_FIRST_MS
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.hints import webhook_inbox
from extend_pipeline.webhooks.ingest import IngestResult
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.webhooks.receiving import (
    CALLED_BACK,
    OTHER_SECRET,
    attempts,
    called_back_home,
    due_at,
    gets_sent,
    inbox_rows,
    open_receiving,
    signed,
    tokens_of,
)

SILENT_AND_LOST: list[dict[str, Any]] = [
    {"kind": "callback_drop", "times": 9},
    {"kind": "reset_after", "where": "submit", "skip": 1},
]
"""The first task is known, the second is in doubt, and the upstream sends no callback of either."""

_FIELD = {"kling": "task_id", "kling-gateway": "task_id", "luma": "id"}


def in_doubt(home: EngineHome, pipeline: Any) -> Any:
    """Submit two videos and return the attempt in doubt."""
    advance(pipeline, publish=False)
    return next(row for row in attempts(pipeline.ledger) if row.state == "in_doubt")


@pytest.mark.parametrize("provider", CALLED_BACK)
def test_forged_callbacks_are_never_adopted(provider: str, home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    called_back_home(home, provider, port, 2)
    home.sandbox.faults(SILENT_AND_LOST)
    field = _FIELD[provider]
    sent = adopted = 0
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        row = in_doubt(home, pipeline)
        token = next(token for token in tokens if webhook_inbox.token_digest(token) == row.callback_digest)
        held = next(other.task_id for other in attempts(pipeline.ledger) if other.task_id)
        true_task = next(task["task_id"] for task in home.sandbox.tasks() if task["task_id"] != held)
        foreign = home.sandbox.foreign_task(provider=provider, age=86_400)["task_id"]
        for claim in (held, foreign, "999999999999999999", "../../account/costs", row.external_task_id + "x"):
            for state in ("succeed", "failed", "submitted"):
                body = json.dumps({field: claim, "task_status": state, "state": state}).encode()
                assert receiver.post(token, body) == 204  # the right address
                assert receiver.post("A" * 43, body) == 204  # an address that was never given out
                sent += 2
        for _ in range(MAX_LOOKUPS + 2):
            adopted += len(advance(pipeline, publish=False).recovered.found)
            clock.skip(CALLBACK_LOOKUP_FIRST_MS * 2**MAX_LOOKUPS)
        after = next(attempt for attempt in attempts(pipeline.ledger) if attempt.attempt_id == row.attempt_id)
        notes = {callback.task_id: callback.note for callback in inbox_rows(pipeline.ledger)}
        assert (after.state, after.task_id, adopted, sent) == ("in_doubt", None, 0, 30)
        for claim in (foreign, held, "999999999999999999"):
            check_user_text(notes[claim])
        unseen = {callback.task_id for callback in inbox_rows(pipeline.ledger) if callback.looked_at is None}
        assert unseen <= {"../../account/costs"}  # a bare 404 is no proof: queried again, ever more rarely
        assert (due_at(pipeline.ledger, row.attempt_id) is None) == (not unseen)
        # after all that, the true callback still counts
        assert receiver.post(token, json.dumps({field: true_task}).encode()) == 204
        drive(pipeline)
        assert {(attempt.state, attempt.task_id) for attempt in attempts(pipeline.ledger)} == {
            ("stored", held),
            ("stored", true_task),
        }


def test_task_ids_swapped_between_two_doubts_are_adopted_by_neither(home: EngineHome) -> None:
    port = free_port()
    called_back_home(home, "luma", port, 2)
    home.sandbox.faults([{"kind": "callback_drop", "times": 2}, {"kind": "reset_after", "where": "submit", "times": 2}])
    with open_receiving(home, port=port) as receiver, home.open(JumpClock()) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        tasks = [task["task_id"] for task in home.sandbox.tasks()]
        for token in tokens:
            for task in tasks:
                receiver.post(token, json.dumps({"id": task}).encode())
        assert advance(pipeline, publish=False).recovered.found == []
        assert {row.state for row in attempts(pipeline.ledger)} == {"in_doubt"}
        [note] = {row.note for row in inbox_rows(pipeline.ledger)}
        check_user_text(note)


def test_signatures_that_do_not_hold_write_nothing(sandbox_of: Callable[..., EngineHome], secret: str) -> None:
    home, port, clock = sandbox_of(), free_port(), JumpClock()
    called_back_home(home, "kling", port, signed=True)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        task = home.sandbox.tasks()[0]["task_id"]
        body, now_s = json.dumps({"task_id": task}).encode(), clock() // 1000
        good = signed(body, now_s)
        forged: dict[str, dict[str, str]] = {
            "none at all": {},
            "another's secret": signed(body, now_s, secret=OTHER_SECRET),
            "old": signed(body, now_s - 301),
            "of tomorrow": signed(body, now_s + 302),
            "of another body": signed(body + b" ", now_s),
            "of another message": {**good, "webhook-id": "msg_2"},
            "of another time": {**good, "webhook-timestamp": str(now_s - 1)},
            "an unknown version": {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
            "no comma": {**good, "webhook-signature": good["webhook-signature"].replace(",", "")},
            "no base64": {**good, "webhook-signature": "v1,%%%"},
            "no time": {**good, "webhook-timestamp": "nan"},
            "beyond ASCII": {**good, "webhook-signature": "v1,\xe9"},
        }
        for headers in forged.values():
            assert receiver.post(tokens[0], body, headers) == 204
        assert inbox_rows(pipeline.ledger) == []
        assert receiver.counts.total == {IngestResult.UNSIGNED: len(forged)}
        assert advance(pipeline, publish=False).recovered.found == []
        assert receiver.post(tokens[0], body, good) == 204
        assert receiver.post(tokens[0], body, signed(body, now_s, message_id="msg_again")) == 204  # a replay
        assert len(inbox_rows(pipeline.ledger)) == 1
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE


def test_a_burst_for_a_task_in_doubt_costs_one_query_a_round(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    called_back_home(home, "kling-gateway", port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        row = attempts(pipeline.ledger)[0]
        before = gets_sent(home)
        for number in range(10):
            receiver.post(tokens[0], b'{"task_id": "not-there", "n": %d}' % number)
        advance(pipeline, publish=False)
        assert gets_sent(home) == before + 1
        advance(pipeline, publish=False)
        assert gets_sent(home) == before + 1  # not yet due again
        for number in range(10, 20):  # the same name again doesn't hurry it
            receiver.post(tokens[0], b'{"task_id": "not-there", "n": %d}' % number)
        advance(pipeline, publish=False)
        assert gets_sent(home) == before + 1
        rounds = 0
        while due_at(pipeline.ledger, row.attempt_id) is not None:
            clock.skip(CALLBACK_LOOKUP_FIRST_MS * 2**MAX_LOOKUPS)
            advance(pipeline, publish=False)
            rounds += 1
        assert (rounds, gets_sent(home)) == (MAX_LOOKUPS - 1, before + MAX_LOOKUPS)
        assert all(callback.looked_at for callback in inbox_rows(pipeline.ledger))


def test_a_task_that_cannot_be_seen_yet_is_queried_again(home: EngineHome) -> None:
    port, clock = free_port(), JumpClock()
    called_back_home(home, "kling-gateway", port)
    home.sandbox.faults([{"kind": "callback_drop"}, {"kind": "reset_after", "where": "submit"}])
    with open_receiving(home, clock, port=port) as receiver, home.open(clock) as pipeline:
        tokens = tokens_of(pipeline)
        advance(pipeline, publish=False)
        home.sandbox.faults([{"kind": "code_1203", "where": "query", "match": {"provider": "kling-gateway"}}])
        receiver.post(tokens[0], json.dumps({"task_id": home.sandbox.tasks()[0]["task_id"]}).encode())
        assert advance(pipeline, publish=False).recovered.found == []
        clock.skip(CALLBACK_LOOKUP_FIRST_MS + 100)
        assert advance(pipeline, publish=False).recovered.found == [f"{attempts(pipeline.ledger)[0].video_key}/1"]
        assert callback_lookup.look_into_callbacks(pipeline, list(pipeline.accounts)) == []
