"""Store many materializations of a run in Dagster at once.

Dagster stores each event that an op yields by itself: on SQLite three connections and two commits, some 7 ms of CPU
each. Of one batch, Dagster's file storage gets the same rows in a few transactions, however many events there are.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterEvent, DagsterEventType, EventLogEntry
from dagster._core.events import StepMaterializationData

if TYPE_CHECKING:
    from dagster._core.execution.context.system import StepExecutionContext
    from dagster._core.storage.event_log import SqliteEventLogStorage

StoreBatch = Callable[[Sequence[dg.AssetMaterialization]], Sequence[dg.AssetMaterialization]]
"""Store materializations in Dagster; return those that are not stored, which the op has to yield."""


def yield_all(materializations: Sequence[dg.AssetMaterialization]) -> Sequence[dg.AssetMaterialization]:
    """Store nothing, and return every materialization to be yielded."""
    return materializations


@contextmanager
def batch_store(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[StoreBatch]:
    """Yield how a run's op stores a batch: by itself on Dagster's own SQLite files, and by Dagster elsewhere, because
    other storages do more with an event than to insert it (PostgreSQL's notifies readers).

    Meanwhile the files of the run and of all runs are kept open: Dagster connects anew for each statement, and the
    connection that closes a file last copies its whole WAL.
    """
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage

    storage, step = context.instance.event_log_storage, context.get_step_execution_context()
    if type(storage) is not SqliteEventLogStorage:
        yield yield_all
        return

    def store(materializations: Sequence[dg.AssetMaterialization]) -> Sequence[dg.AssetMaterialization]:
        if materializations:
            store_events(storage, [_entry(step, each, at_s=time.time()) for each in materializations])
        return ()

    with ExitStack() as stack:
        for shard in (INDEX_SHARD_NAME, step.run_id):
            connection = sqlite3.connect(storage.path_for_shard(shard), check_same_thread=False)
            stack.enter_context(closing(connection))
            connection.execute("SELECT 1 FROM event_logs LIMIT 1").fetchall()  # the file is opened by the first read
        yield store


def store_events(storage: SqliteEventLogStorage, events: Sequence[EventLogEntry]) -> None:
    """Store materializations of one run as `storage.store_event` does one by one: in the file of the run, and in that
    of all runs with their tags and the latest of each asset.

    The tags come last, because a recorder that was killed in between writes again what has no data version.
    """
    inserts = [storage.prepare_insert_event(event) for event in events]
    with storage.run_connection(events[0].run_id) as connection:
        for insert in inserts:
            connection.execute(insert)
    with storage.index_connection() as connection:
        event_ids = [connection.execute(insert).lastrowid for insert in inserts]
    latest = {event.get_dagster_event().asset_key: (event, id_) for event, id_ in zip(events, event_ids, strict=True)}
    for event, event_id in latest.values():
        storage.store_asset_event(event, event_id)
    storage.store_asset_event_tags(events, event_ids)


def _entry(step: StepExecutionContext, materialization: dg.AssetMaterialization, *, at_s: float) -> EventLogEntry:
    """Return the entry of Dagster's event log that a step makes of a materialization at a time (UTC s)."""
    message = materialization.description or f"Materialized value {materialization.label}."
    event = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name=step.job_name,
        step_handle=step.step.handle,
        node_handle=step.step.node_handle,
        step_kind_value=step.step.kind.value,
        logging_tags=step.event_tags,
        event_specific_data=StepMaterializationData(materialization),
        message=message,
        pid=os.getpid(),
    )
    return EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.DEBUG,
        user_message=message,
        run_id=step.run_id,
        timestamp=at_s,
        step_key=event.step_key,
        job_name=step.job_name,
        dagster_event=event,
    )
