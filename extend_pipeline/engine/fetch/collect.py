"""Fetches paid results as soon as they are seen, soonest-expiring first, and never pays to fetch again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Row

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.fetch.failure_policy import handle_failed_fetch, is_over
from extend_pipeline.engine.fetch.fetch import FetchFailure, could_not_probe, fetch
from extend_pipeline.engine.fetch.media_analysis import analyse, file_columns
from extend_pipeline.engine.guards.disk_space import DiskError, explained
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.hop_state import NO_ROOM
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import Lease, release_leases, released_on_error
from extend_pipeline.engine.store.restore import keep_restored
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import files, job_queue, transitions
from extend_pipeline.ledger.write.transitions import Moved, Stale
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.store import Stored
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, TaskState

S = AttemptState
FETCHED: Final = (S.SUCCEEDED, S.STORED)
"""States of what is fetched when it is due. A stored result is due where its file is missing in the store."""

_log = logging.getLogger(__name__)


@dataclass
class CollectReport:
    """What one round of collecting did; lists of VIDEO/HOP."""

    stored: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    bytes: int = 0
    disk_error: DiskError | None = None


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What a query tells of a result now: a URL that says itself when it ends puts off the end of the result too."""

    url: str
    expires_at: int | None


def result_key(attempt_id: str) -> str:
    """Return the key under which an attempt's download is kept while it comes."""
    return f"result:{attempt_id}"


def collect_due(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    accounts: Collection[str] | None = None,
    stop: threading.Event | None = None,
) -> CollectReport:
    """Fetch every result that is due, `max_downloads` at a time. The first one that the disk doesn't take ends it: the
    others would be fetched for nothing."""
    report = CollectReport()
    if not pipeline.asked_for_room:
        pipeline.asked_for_room = True
        _try_for_room(pipeline)
    names = list(pipeline.accounts if accounts is None else accounts)
    lock = threading.Lock()
    size = pipeline.settings.max_downloads
    with ThreadPoolExecutor(max_workers=size, thread_name_prefix="collect") as pool:
        while not (stop is not None and stop.is_set()):
            taken_at = pipeline.now_ms()
            rows = _take(pipeline, names, videos, size * 4)
            if not rows:
                break
            holds = [Lease(pipeline, row, taken_at=taken_at) for row in rows]
            with released_on_error(pipeline, rows):
                for _ in pool.map(lambda row, hold: _collect_or_wait(pipeline, row, hold, report, lock), rows, holds):
                    pass
            if report.disk_error is not None:
                release_leases(pipeline, rows)
                break
    return report


def _try_for_room(pipeline: Pipeline) -> None:
    with pipeline.ledger.read() as connection:
        notes = queries.notes(connection)
        waiting = [key for key, row in notes.items() if row.note.startswith(NO_ROOM) and not row.owner]
    if waiting:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            job_queue.release(tx, waiting, owner="")


def _take(pipeline: Pipeline, names: list[str], videos: Collection[str] | None, limit: int) -> list[Row[Any]]:
    waits = schedule.fetch_waits(pipeline.settings, names)
    if not job_queue.has_due(pipeline.ledger, now_ms=pipeline.now_ms(), states=FETCHED, accounts=waits):
        return []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        return job_queue.claim_due(
            tx,
            states=FETCHED,
            accounts=waits,
            videos=videos,
            hold_ms=int(pipeline.settings.lease_s * 1000),
            limit=limit,
            owner=pipeline.owner,
            soonest_expiring_first=True,
        )


def _collect_or_wait(
    pipeline: Pipeline, row: Row[Any], hold: Lease, report: CollectReport, lock: threading.Lock
) -> None:
    """Fetch one result; where the disk doesn't take it, it waits, and says so."""
    if report.disk_error is not None:
        return
    try:
        _collect(pipeline, row, hold, report, lock)
    except OSError as error:
        with pipeline.ledger.read() as connection:
            awaited = queries.awaited(connection)
        told = explained(error, pipeline.settings, awaited=awaited)
        if told is None:
            raise
        with lock:
            report.failed.append(f"{row.video_key}/{row.hop}")
            report.disk_error = report.disk_error or told
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            if hold.held(tx):
                due_at, note = tx.now_ms + schedule.DISK_AGAIN_MS, f"{NO_ROOM}{told}"
                transitions.schedule(tx, row.attempt_id, account=row.account, due_at=due_at, note=note, tries=row.tries)


def _collect(pipeline: Pipeline, row: Row[Any], hold: Lease, report: CollectReport, lock: threading.Lock) -> None:
    where = f"{row.video_key}/{row.hop}"
    if not hold.keep():
        return  # it waited for its turn so long that another process fetches it by now
    key = result_key(row.attempt_id)
    got = fetch(pipeline, row.account, row.url, key=key, beat=hold.keep)
    expires_at = row.expires_at
    if isinstance(got, FetchFailure) and (got.stale_url or got.sha256 or is_over(expires_at, pipeline.now_ms())):
        fresh = _fresh_url(pipeline, row)
        if isinstance(fresh, _Fresh):
            again = fetch(pipeline, row.account, fresh.url, key=key, beat=hold.keep)
            got, expires_at = _two_tries(got, again), fresh.expires_at
        else:
            got = replace(got, message=f"{got.message}; {fresh.message}", stale_url=fresh.stale_url)
    if isinstance(got, Stored):
        try:
            if row.state == S.STORED.value:
                keep_restored(pipeline, row, got)
            else:
                keep_film(pipeline, row, got, actor=pipeline.owner)
        except ProbeUnavailable as error:
            got = could_not_probe(error)
        else:
            with lock:
                (report.restored if row.state == S.STORED.value else report.stored).append(where)
                report.bytes += got.bytes
            return
    word = handle_failed_fetch(pipeline, row, hold, got, expires_at)
    if word != "again":
        pipeline.store.forget(key)
    with lock:
        {"lost": report.lost, "quarantined": report.quarantined, "again": report.failed}[word].append(where)


def _fresh_url(pipeline: Pipeline, row: Row[Any]) -> _Fresh | FetchFailure:
    """Ask the provider for the result again: a query costs nothing, and its answer carries a fresh URL."""
    match pipeline.provider(row.account).query(row.task_id):
        case Found(view) if view.state is TaskState.SUCCEEDED:
            output = view.outputs[0]
            expires_at = view.expires_ms or row.expires_at
            if output.url != row.url:
                with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                    transitions.refresh_url(tx, row.attempt_id, url=output.url, expires_at=expires_at)
            return _Fresh(output.url, expires_at)
        case Found(view):
            return FetchFailure(f"the provider now says {view.status_word!r} of a task that had succeeded")
        case NotFound(answer):
            return FetchFailure(f"the provider knows the task no more: {answer.message}", stale_url=True)
        case QueryFailed(_, answer):
            return FetchFailure(f"no fresh URL could be had: {answer.message}")


def _two_tries(first: FetchFailure, second: Stored | FetchFailure) -> Stored | FetchFailure:
    """Return what two tries from two URLs come to."""
    if isinstance(second, Stored):
        return second
    progress = first.progress or second.progress
    if second.sha256 is None or second.sha256 == first.sha256:
        return replace(second, progress=progress)
    # other bytes this time: the way here is broken, not the film
    return FetchFailure(second.message, progress=progress)


def keep_film(pipeline: Pipeline, row: Row[Any], got: Stored, *, actor: str) -> Moved | Stale:
    """Write down that an attempt's film is in the store, with what it looks like beside its parent. Raises
    ProbeUnavailable where this machine can't look at it now."""
    seen = analyse(pipeline, row, got)
    failpoint("collect.before_stored")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        data = {**file_columns(got), **seen.columns()}
        moved = transitions.stored(tx, row.attempt_id, data=data)
        if seen.film_waits and isinstance(moved, Moved):
            files.not_made(tx, row)
        transitions.unschedule(tx, row.attempt_id)
    failpoint("collect.after_stored")
    if isinstance(moved, Stale) and moved.state is not S.STORED:
        state = "unknown" if moved.state is None else moved.state.value
        _log.warning(
            "%s/%s is %s meanwhile, and its file came: %s in the media store",
            row.video_key,
            row.hop,
            state,
            got.path,
        )
    return moved
