"""Fetches paid results as soon as they are seen, soonest-expiring first, and never pays to fetch again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.fetch.failure_policy import FetchDecision, handle_failed_fetch, is_over
from extend_pipeline.engine.fetch.fetch import FetchFailure, could_not_probe, fetch
from extend_pipeline.engine.fetch.media_analysis import analyse, file_columns
from extend_pipeline.engine.guards.disk_space import DiskError, as_disk_error
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import Lease, release_leases, released_on_error
from extend_pipeline.engine.store.restore import keep_restored
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow, ScheduledAttempt
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
            leased = _take(pipeline, names, videos, size * 4)
            if not leased:
                break
            attempt_ids = [due.attempt.attempt_id for due in leased]
            leases = [Lease(pipeline, attempt_id, taken_at=taken_at) for attempt_id in attempt_ids]
            with released_on_error(pipeline, attempt_ids):
                for _ in pool.map(partial(_collect_or_wait, pipeline, report, lock), leased, leases):
                    pass
            if report.disk_error is not None:
                release_leases(pipeline, attempt_ids)
                break
    return report


def _try_for_room(pipeline: Pipeline) -> None:
    with pipeline.ledger.read() as connection:
        hints = queries.hints(connection)
    waiting = [key for key, hint in hints.items() if hint.look.cause is LookCause.NO_ROOM and not hint.owner]
    if waiting:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            job_queue.release(tx, waiting, owner="")


def _take(pipeline: Pipeline, names: list[str], videos: Collection[str] | None, limit: int) -> list[ScheduledAttempt]:
    waits = schedule.fetch_waits(pipeline.settings, names)
    if not job_queue.has_due(pipeline.ledger, now_ms=pipeline.now_ms(), states=FETCHED, accounts=waits):
        return []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        return job_queue.claim_due(
            tx,
            states=FETCHED,
            accounts=waits,
            videos=videos,
            lease_ms=schedule.fetch_lease_ms(pipeline.settings),
            limit=limit,
            owner=pipeline.owner,
            soonest_expiring_first=True,
        )


def _collect_or_wait(
    pipeline: Pipeline, report: CollectReport, lock: threading.Lock, due: ScheduledAttempt, lease: Lease
) -> None:
    """Fetch one result; where the disk doesn't take it, it waits, and says so."""
    if report.disk_error is not None:
        return
    try:
        _collect(pipeline, report, lock, due, lease)
    except OSError as error:
        with pipeline.ledger.read() as connection:
            awaited = queries.awaited(connection)
        disk_error = as_disk_error(error, pipeline.settings, awaited=awaited)
        if disk_error is None:
            raise
        with lock:
            report.failed.append(due.attempt.where)
            report.disk_error = report.disk_error or disk_error
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            if lease.is_valid(tx):
                attempt, due_at = due.attempt, schedule.next_fetch_without_room(tx.now_ms)
                look = LastLook(str(disk_error), LookCause.NO_ROOM, due.look.tries)
                transitions.schedule(tx, attempt.attempt_id, account=attempt.account, due_at=due_at, look=look)


def _collect(
    pipeline: Pipeline, report: CollectReport, lock: threading.Lock, due: ScheduledAttempt, lease: Lease
) -> None:
    attempt = due.attempt
    if not lease.renew():
        return  # it waited for its turn so long that another process fetches it by now
    key = result_key(attempt.attempt_id)
    got = fetch(pipeline, attempt.account, attempt.result_url, key=key, beat=lease.renew)
    expires_at = attempt.expires_at
    if isinstance(got, FetchFailure) and (got.stale_url or got.sha256 or is_over(expires_at, pipeline.now_ms())):
        fresh = _fresh_url(pipeline, attempt)
        if isinstance(fresh, _Fresh):
            again = fetch(pipeline, attempt.account, fresh.url, key=key, beat=lease.renew)
            got, expires_at = _two_tries(got, again), fresh.expires_at
        else:
            got = replace(got, message=f"{got.message}; {fresh.message}", stale_url=fresh.stale_url)
    if isinstance(got, Stored):
        try:
            if attempt.state is S.STORED:
                keep_restored(pipeline, attempt, got)
            else:
                keep_film(pipeline, attempt, got, actor=pipeline.owner)
        except ProbeUnavailable as error:
            got = could_not_probe(error)
        else:
            with lock:
                (report.restored if attempt.state is S.STORED else report.stored).append(attempt.where)
                report.bytes += got.bytes
            return
    decided = handle_failed_fetch(pipeline, due, lease, got, expires_at)
    if decided is not FetchDecision.AGAIN:
        pipeline.store.forget(key)
    lists = {
        FetchDecision.LOST: report.lost,
        FetchDecision.QUARANTINED: report.quarantined,
        FetchDecision.AGAIN: report.failed,
    }
    with lock:
        lists[decided].append(attempt.where)


def _fresh_url(pipeline: Pipeline, attempt: AttemptRow) -> _Fresh | FetchFailure:
    """Ask the provider for the result again: a query costs nothing, and its answer carries a fresh URL."""
    match pipeline.provider(attempt.account).query(attempt.task):
        case Found(view) if view.state is TaskState.SUCCEEDED:
            output = view.outputs[0]
            expires_at = view.expires_ms or attempt.expires_at
            if output.url != attempt.url:
                with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                    transitions.refresh_url(tx, attempt.attempt_id, url=output.url, expires_at=expires_at)
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


def keep_film(pipeline: Pipeline, attempt: AttemptRow, got: Stored, *, actor: str) -> Moved | Stale:
    """Write down that an attempt's film is in the store, with what it looks like beside its parent. Raises
    ProbeUnavailable where this machine can't look at it now."""
    seen = analyse(pipeline, attempt, got)
    failpoint("collect.before_stored")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        data = {**file_columns(got), **seen.columns()}
        moved = transitions.stored(tx, attempt.attempt_id, data=data)
        if seen.film_waits and isinstance(moved, Moved):
            files.not_made(tx, attempt)
        transitions.unschedule(tx, attempt.attempt_id)
    failpoint("collect.after_stored")
    if isinstance(moved, Stale) and moved.state is not S.STORED:
        state = "unknown" if moved.state is None else moved.state.value
        _log.warning(
            "%s/%s is %s meanwhile, and its file came: %s in the media store",
            attempt.video_key,
            attempt.hop,
            state,
            got.path,
        )
    return moved
