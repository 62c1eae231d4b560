"""The inbox on both databases: each request once, bounded, and a look that is due where there is a reason for one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Row, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.read.reconciliation_queries import TaskOwner
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.hints import webhook_inbox
from extend_pipeline.ledger.write.hints.webhook_inbox import (
    MAX_CALLBACK_LOOKUPS,
    MAX_TASKS,
    MAX_UNNAMED,
    DuplicateDelivery,
    QuotaExceeded,
    Stored,
    WebhookTarget,
)
from extend_pipeline_tests.support.ledger.steps import (
    NOON,
    claim,
    move,
    request,
    run_through,
    send,
    store,
    submit,
    succeed,
)
from extend_pipeline_tests.webhooks.receiving import inbox_rows

S = AttemptState

TOKEN = "t" * 43
LATER = NOON + 3_600_000


def deliver(ledger: Ledger, body: bytes, task_id: str | None = None, *, now_ms: int = NOON + 1_000) -> Any:
    """Deliver a callback to the attempt whose address ends with TOKEN."""
    with ledger.read() as connection:
        to = webhook_inbox.targets(connection, [webhook_inbox.token_digest(TOKEN)])[webhook_inbox.token_digest(TOKEN)]
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        return webhook_inbox.receive(tx, webhook_inbox.message(to, body, task_id=task_id, secrets=(TOKEN,)))


def prepared(ledger: Ledger, state: AttemptState, **changes: Any) -> str:
    """Bring an attempt with a callback address to a state; return its id."""
    step = replace(request(**changes), callback_digest=webhook_inbox.token_digest(TOKEN))
    attempt_id = step.attempt_id
    claim(ledger, step)
    if state is S.CLAIMED:
        return attempt_id
    send(ledger, attempt_id)
    if state is S.IN_DOUBT:
        move(ledger, attempt_id, S.IN_DOUBT, error_reason="lost", error_message="lost")
    elif state is not S.SENDING:
        submit(ledger, attempt_id)
        if state in (S.SUCCEEDED, S.STORED):
            succeed(ledger, attempt_id)
        if state is S.STORED:
            store(ledger, attempt_id)
    return attempt_id


def put_off(ledger: Ledger, attempt_id: str, *, owner: str = "", note: str = "", tries: int = 0) -> None:
    """Schedule the attempt's next look in an hour."""
    with ledger.write(now_ms=NOON, actor="me") as tx:
        transitions.schedule(tx, attempt_id, account="kling-main", due_at=LATER, look=LastLook(note, tries=tries))
        tx.connection.execute(tables.schedule.update().values(owner=owner))


def hint(ledger: Ledger, attempt_id: str) -> Row[Any] | None:
    """Return an attempt's row of the schedule."""
    with ledger.read() as connection:
        return connection.execute(select(tables.schedule).where(tables.schedule.c.attempt_id == attempt_id)).first()


def count(ledger: Ledger) -> int:
    """Return the number of rows of the inbox."""
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.inbox)).scalar_one())


def test_an_address_is_found_by_its_digest_and_others_by_none(ledger: Ledger) -> None:
    attempt_id = prepared(ledger, S.SUBMITTED)
    known = webhook_inbox.token_digest(TOKEN)
    with ledger.read() as connection:
        targets = webhook_inbox.targets(
            connection, [known, webhook_inbox.token_digest("other"), webhook_inbox.token_digest("\ud800")]
        )
    assert targets == {known: WebhookTarget(attempt_id, "kling-main", "kling")}


@pytest.mark.parametrize("state", [S.SUBMITTED, S.SUCCEEDED])
def test_an_awaited_task_is_due_now(ledger: Ledger, state: AttemptState) -> None:
    attempt_id = prepared(ledger, state)
    put_off(ledger, attempt_id, note="odd", tries=3)
    assert deliver(ledger, b"{}") == Stored(attempt_id)
    row = hint(ledger, attempt_id)
    assert row is not None
    assert (row.due_at, row.note, row.tries) == (NOON + 1_000, "odd", 3)


def test_a_fetch_in_progress_is_not_started_again(ledger: Ledger) -> None:
    attempt_id = prepared(ledger, S.SUCCEEDED)
    put_off(ledger, attempt_id, owner="another-worker")
    deliver(ledger, b"{}")
    row = hint(ledger, attempt_id)
    assert row is not None
    assert row.due_at == LATER


@pytest.mark.parametrize("state", [S.CLAIMED, S.SENDING, S.STORED])
def test_early_and_late_callbacks_are_kept_and_schedule_nothing(ledger: Ledger, state: AttemptState) -> None:
    attempt_id = prepared(ledger, state)
    assert deliver(ledger, b"{}", "task-9") == Stored(attempt_id)
    assert (count(ledger), hint(ledger, attempt_id)) == (1, None)
    with ledger.read() as connection:
        assert webhook_inbox.named(connection, [attempt_id]) == {attempt_id: ["task-9"]}


def test_a_doubt_without_a_key_is_due_when_a_task_is_named_and_only_then(ledger: Ledger) -> None:
    attempt_id = prepared(ledger, S.IN_DOUBT, submit_class="C")
    deliver(ledger, b"nothing")
    assert hint(ledger, attempt_id) is None
    deliver(ledger, b"named", "task-9")
    assert hint(ledger, attempt_id) is not None
    put_off(ledger, attempt_id, tries=4)
    deliver(ledger, b"named again", "task-9")
    row = hint(ledger, attempt_id)
    assert row is not None
    assert (row.due_at, row.tries) == (LATER, 4)
    deliver(ledger, b"another", "task-10")
    row = hint(ledger, attempt_id)
    assert row is not None
    assert (row.due_at, row.tries) == (NOON + 1_000, 0)


def test_a_doubt_with_a_key_of_its_own_is_due_now_and_keeps_its_note(ledger: Ledger) -> None:
    note = "not found 2 times"
    attempt_id = prepared(ledger, S.IN_DOUBT, submit_class="A")
    put_off(ledger, attempt_id, note=note)
    deliver(ledger, b"named", "task-9")
    row = hint(ledger, attempt_id)
    assert row is not None
    assert (row.due_at, row.note) == (NOON + 1_000, note)


def test_a_request_delivered_a_hundred_times_is_one_row(ledger: Ledger) -> None:
    attempt_id = prepared(ledger, S.SUBMITTED)
    outcomes = [deliver(ledger, b'{"task_id": "task-1"}', "task-1") for _ in range(100)]
    assert outcomes == [Stored(attempt_id)] + [DuplicateDelivery()] * 99
    assert count(ledger) == 1


def test_rows_per_attempt_are_bounded_and_unnamed_ones_keep_no_name_out(ledger: Ledger) -> None:
    attempt_id = prepared(ledger, S.IN_DOUBT, submit_class="C")
    unnamed = [deliver(ledger, b"%d" % number) for number in range(MAX_UNNAMED + 5)]
    assert unnamed.count(QuotaExceeded()) == 5
    tasks = [deliver(ledger, b"a%d" % number, f"forged-{number}") for number in range(MAX_TASKS + 5)]
    assert tasks.count(QuotaExceeded()) == 5
    names = [deliver(ledger, b"b%d" % number, "forged-0") for number in range(MAX_CALLBACK_LOOKUPS + 5)]
    assert names.count(QuotaExceeded()) == 5 + MAX_TASKS
    assert count(ledger) == webhook_inbox.MAX_CALLBACKS_PER_TASK == MAX_UNNAMED + MAX_CALLBACK_LOOKUPS
    with ledger.read() as connection:
        assert len(webhook_inbox.named(connection, [attempt_id])[attempt_id]) == MAX_TASKS


def test_bodies_are_kept_without_the_token_and_only_where_they_add_something(ledger: Ledger) -> None:
    prepared(ledger, S.SUBMITTED)
    deliver(ledger, b'{"id": "task-1", "hook": "https://h/' + TOKEN.encode() + b'"}', "task-1")
    deliver(ledger, b'{"id": "task-2", "hook": "https://h/' + TOKEN.encode() + b'\x00"}', "task-2")
    bodies = {row.task_id: row.body for row in inbox_rows(ledger)}
    assert bodies["task-1"] == ""
    assert "task-2" in bodies["task-2"]
    assert TOKEN not in bodies["task-2"]


def test_a_look_is_recorded_for_every_callback_that_named_the_task(ledger: Ledger) -> None:
    attempt_id = prepared(ledger, S.IN_DOUBT, submit_class="C")
    for body, task_id in ((b"1", "task-1"), (b"2", "task-1"), (b"3", "task-2")):
        deliver(ledger, body, task_id)
    with ledger.write(now_ms=LATER, actor="me") as tx:
        webhook_inbox.mark_processed(tx, attempt_id, "task-1", note="not ours")
    with ledger.read() as connection:
        assert webhook_inbox.named(connection, [attempt_id]) == {attempt_id: ["task-2"]}
    notes = [(row.task_id, row.note, row.looked_at) for row in inbox_rows(ledger)]
    assert sorted(notes) == [("task-1", "not ours", LATER), ("task-1", "not ours", LATER), ("task-2", "", None)]


def test_a_task_named_to_two_addresses_is_detected(ledger: Ledger) -> None:
    first = prepared(ledger, S.IN_DOUBT, submit_class="C")
    deliver(ledger, b"1", "task-1")
    with ledger.read() as connection:
        assert not webhook_inbox.named_elsewhere(connection, "kling-main", "task-1", than=first)
        assert webhook_inbox.named_elsewhere(connection, "kling-main", "task-1", than="another")
        assert not webhook_inbox.named_elsewhere(connection, "other-account", "task-1", than="another")


def test_a_task_that_another_account_holds_is_detected(ledger: Ledger) -> None:
    task_id = f"task-harbour-1-{run_through(ledger)}"
    with ledger.read() as connection:
        found = reconciliation_queries.holders_elsewhere(connection, "other-account", "kling", ["task-1", task_id])
        assert found == {task_id: TaskOwner("kling-main", "harbour", 1)}
        assert reconciliation_queries.holders_elsewhere(connection, "kling-main", "kling", [task_id]) == {}
        assert reconciliation_queries.holders_elsewhere(connection, "other-account", "vidu", [task_id]) == {}
