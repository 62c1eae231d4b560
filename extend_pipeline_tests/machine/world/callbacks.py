"""Callbacks of every kind, handed to the receiver's own intake: true ones and forged ones, at any time."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Row

from extend_pipeline.engine.doubt.callback_lookup import SKEW_MS
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write.hints.webhook_inbox import token_digest
from extend_pipeline.webhooks.ingest import IngestResult, WebhookRequest, ingest
from extend_pipeline_tests.machine.world.world import World
from extend_pipeline_tests.support.harness.charges import as_charge, attempts_in, submission_of

KINDS: Final = ("true", "other task", "unknown task", "wrong token", "rubbish")
STATUSES: Final = ("submitted", "processing", "succeed", "failed")


def call_back(world: World, pipeline: Pipeline, kind: str, number: int, status: str, *, times: int = 1) -> None:
    """Send one callback to the address of any attempt that was ever given one, `times` over."""
    if not world.tokens:
        return
    token = world.tokens[-1 - number % len(world.tokens)]  # small numbers are young addresses, whose tasks still run
    row = next(
        (attempt for attempt in attempts_in(world.ledger) if attempt.callback_digest == token_digest(token)), None
    )
    if kind == "wrong token":
        token = f"{'x' if token[0] != 'x' else 'y'}{token[1:]}"
    body = _body(world, kind, row, number, status)
    results = [ingest(pipeline, [WebhookRequest(token, body)])[0] for _ in range(times)]
    for result in results:
        world.counters.add(f"callback, {kind}: {result.name.lower()}")
    if kind == "wrong token" or row is None:
        assert set(results) == {IngestResult.UNKNOWN}
    else:
        assert set(results[1:]) <= {IngestResult.DUPLICATE, IngestResult.QUOTA_EXCEEDED}


def _body(world: World, kind: str, row: Row[Any] | None, number: int, status: str) -> bytes:
    if kind == "rubbish":
        return [b"", b"[1]", b"\x00\xff", b'{"task_id": null}', b'{"task_id": {"a": 1}, "id": []}'][number % 5]
    named = "no-such-task"
    if kind in ("true", "wrong token"):
        named = _true_task(world, row) or named
    elif kind == "other task":
        others = _other_tasks(world, row)
        named = others[number % len(others)] if others else named
    name = "id" if row is not None and row.provider == "luma" else "task_id"
    return json.dumps({name: named, "state": status, "task_status": status}).encode()


def _true_task(world: World, row: Row[Any] | None) -> str | None:
    """The task that the upstream would call back about at this address: the one that the attempt's own POST made."""
    if row is None:
        return None
    if row.task_id is not None:
        return str(row.task_id)
    tasks = world.home.sandbox.tasks()
    own_tasks = [task for task in tasks if task["callback_url"] and token_digest(_token(task)) == row.callback_digest]
    return own_tasks[0]["task_id"] if own_tasks else None


def _token(task: dict[str, Any]) -> str:
    return str(task["callback_url"]).rpartition("/")[2]


def _other_tasks(world: World, row: Row[Any] | None) -> list[str]:
    """Tasks that are not the attempt's. A task of Luma's tells no more of itself than its time: who has the address
    and a task of the same minute that no attempt holds is believed, so those are left out."""
    taken = {attempt.task_id for attempt in attempts_in(world.ledger)}
    other_tasks = []
    for task in world.home.sandbox.tasks():
        if row is not None and submission_of(row, same_accounts=True).extends(as_charge(task)):
            continue
        near = row is not None and abs(task["created_ms"] - (row.sending_at or 0)) <= 2 * SKEW_MS
        if task["surface"] == "luma" and near and task["task_id"] not in taken:
            continue
        other_tasks.append(task["task_id"])
    return other_tasks
