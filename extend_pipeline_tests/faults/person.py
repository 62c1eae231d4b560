"""What a person would say about what a crash has left: adopt where the provider's console shows the task, else pay for
another try; and lift a stop once it is mended."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Row, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import LIVE, AttemptState, VideoState
from extend_pipeline_tests.faults.child import Word
from extend_pipeline_tests.faults.scene import Scene

S = AttemptState

_ENDED = (S.REJECTED, S.RELEASED, S.FAILED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF)


def unfinished(ledger: Ledger) -> list[str]:
    """Videos that are not complete, each with its state and why."""
    table = tables.videos
    with ledger.read() as connection:
        rows = connection.execute(select(table).where(table.c.state != VideoState.COMPLETE.value)).all()
    return [f"{row.video_key} is {row.state}: {row.state_reason} {row.state_detail}" for row in rows]


def words(scene: Scene, ledger: Ledger) -> tuple[Word, ...]:
    """Everything that there is to be said now."""
    with ledger.read() as connection:
        attempts = list(connection.execute(select(tables.attempts)))
        stopped = connection.execute(
            select(tables.accounts.c.account).where(tables.accounts.c.stopped_reason.isnot(None))
        )
        if stopped.first() is not None:
            return (Word("resume"),)  # what it refused meanwhile goes on by itself then
        table = tables.videos
        waiting = select(table.c.video_key).where(table.c.state == VideoState.BLOCKED.value)
        blocked = set(connection.execute(waiting).scalars())
    taken = {row.task_id for row in attempts}
    said: list[Word] = []
    for row in _newest(attempts):
        where = f"{row.video_key}/{row.hop}"
        if row.video_key not in blocked:
            continue
        if row.state == S.IN_DOUBT:
            task = next((task for task in scene.tasks() if _is_of(row, task) and task["task_id"] not in taken), None)
            if task is None:
                said.append(Word("resubmit", where))
            else:
                taken.add(task["task_id"])
                said.append(Word("adopt", where, task["task_id"]))
        elif row.state in _ENDED and not row.resubmit_allowed:
            said.append(Word("resubmit", where))
    return tuple(said)


def _newest(attempts: list[Row[Any]]) -> list[Row[Any]]:
    """The one attempt of each hop that a person speaks of."""
    hops: dict[tuple[str, int], list[Row[Any]]] = {}
    for row in attempts:
        hops.setdefault((row.video_key, row.hop), []).append(row)
    return [_live(tries) or max(tries, key=lambda row: (row.generation, row.try_no)) for tries in hops.values()]


def _live(tries: list[Row[Any]]) -> Row[Any] | None:
    return next((row for row in tries if S(row.state) in LIVE), None)


def _is_of(row: Row[Any], task: dict[str, Any]) -> bool:
    if task["external_task_id"] is not None:
        return bool(task["external_task_id"] == row.external_task_id)
    parent, named = str(task["parent_video_id"]), row.parent_video_id
    return bool(named == parent or unquote(urlsplit(named).path).endswith(f"/{parent}.mp4"))
