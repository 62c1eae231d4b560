"""Fetch paid results as soon as they are seen, soonest-expiring first; a repeated fetch costs nothing."""

import logging
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.fetch.examiner import Examiner
from extend_pipeline.engine.fetch.failure_policy import FetchDecision, handle_failed_fetch, is_over
from extend_pipeline.engine.fetch.fetch import FetchFailure, could_not_probe, fetch
from extend_pipeline.engine.fetch.media_analysis import analyse, file_columns
from extend_pipeline.engine.guards.disk_space import DiskError, as_disk_error
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import FetchLease, release_leases, released_on_error
from extend_pipeline.engine.store.restore import keep_restored
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow, ScheduledAttempt
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import files, transitions
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.ledger.write.transitions import Moved, Stale
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.store import Stored
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, TaskState

FETCHED: Final = (S.SUCCEEDED, S.STORED)
"""States whose results are fetched when due. A stored result is due where its file is missing in the store."""

_log = logging.getLogger(__name__)


@dataclass
class CollectReport:
    """The results of one round of collecting; lists of VIDEO/HOP."""

    stored: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    bytes: int = 0
    disk_error: DiskError | None = None


@dataclass(frozen=True, slots=True)
class _FreshUrl:
    """The URL of a result from a new query, and its expiry (UTC ms), which becomes the result's expiry."""

    url: str
    expires_at: int | None


def result_key(attempt_id: str) -> str:
    """Return the key of an attempt's partial download."""
    return f"result:{attempt_id}"


def collect_due(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    accounts: Collection[str] | None = None,
    stop: threading.Event | None = None,
) -> CollectReport:
    """Fetch every due result, `max_downloads` at a time. The first one for which the disk has no space ends the round,
    because the others would fail too."""
    report = CollectReport()
    release_waiting_for_space(pipeline)
    names = list(pipeline.accounts if accounts is None else accounts)
    lock = threading.Lock()
    size = pipeline.settings.max_downloads
    with ThreadPoolExecutor(max_workers=size, thread_name_prefix="collect") as pool:
        while not (stop is not None and stop.is_set()):
            leased_at = pipeline.now_ms()
            leased = _lease_due(pipeline, names, videos, size * 4) if _has_due(pipeline, names, videos) else []
            if not leased:
                break
            attempt_ids = [due.attempt.attempt_id for due in leased]
            leases = [FetchLease(pipeline, attempt_id, leased_at=leased_at) for attempt_id in attempt_ids]
            with pipeline.renewer.holding(leases), released_on_error(pipeline, attempt_ids):
                for _ in pool.map(partial(_collect_or_wait, pipeline, report, lock), leased, leases):
                    pass
            if report.disk_error is not None:
                release_leases(pipeline, attempt_ids)
                break
    return report


def lease_results(
    pipeline: Pipeline, account: str, limit: int, *, videos: Collection[str] | None = None
) -> list[Callable[[], CollectReport]]:
    """Lease up to `limit` due results of an account that has some, soonest-expiring first; return a job for each, which
    fetches it."""
    leased_at = pipeline.now_ms()
    return [
        partial(_fetch_leased, pipeline, due, FetchLease(pipeline, due.attempt.attempt_id, leased_at=leased_at))
        for due in _lease_due(pipeline, [account], videos, limit)
    ]


def _fetch_leased(pipeline: Pipeline, due: ScheduledAttempt, lease: FetchLease) -> CollectReport:
    report = CollectReport()
    with pipeline.renewer.holding([lease]), released_on_error(pipeline, [due.attempt.attempt_id]):
        _collect_or_wait(pipeline, report, threading.Lock(), due, lease)
    return report


def release_waiting_for_space(pipeline: Pipeline) -> None:
    """Make due now, once for an opened home, what waits for space on the disk."""
    if pipeline.asked_for_room:
        return
    pipeline.asked_for_room = True
    with pipeline.ledger.read() as connection:
        waiting = job_queue.unleased_without_room(connection)
    if waiting:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            job_queue.release(tx, waiting, owner="")


def _has_due(pipeline: Pipeline, names: list[str], videos: Collection[str] | None) -> bool:
    waits = schedule.fetch_waits(pipeline.settings, names)
    return job_queue.has_due(pipeline.ledger, now_ms=pipeline.now_ms(), states=FETCHED, accounts=waits, videos=videos)


def _lease_due(
    pipeline: Pipeline, names: list[str], videos: Collection[str] | None, limit: int
) -> list[ScheduledAttempt]:
    waits = schedule.fetch_waits(pipeline.settings, names)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        return job_queue.lease_due(
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
    pipeline: Pipeline, report: CollectReport, lock: threading.Lock, due: ScheduledAttempt, lease: FetchLease
) -> None:
    """Fetch one result. Where the disk has no space for it, schedule it again and report the disk error."""
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
                attempt, due_at = due.attempt, schedule.next_fetch_without_space(tx.now_ms)
                look = LastLook(str(disk_error), LookCause.NO_ROOM, due.look.tries)
                transitions.schedule(tx, attempt.attempt_id, account=attempt.account, due_at=due_at, look=look)


def _collect(
    pipeline: Pipeline, report: CollectReport, lock: threading.Lock, due: ScheduledAttempt, lease: FetchLease
) -> None:
    if not lease.renew():
        return  # it waited so long that another process leases it by now
    with Examiner(pipeline, due.attempt) as examiner:
        _collect_examined(pipeline, report, lock, due, lease, examiner)


def _collect_examined(
    pipeline: Pipeline,
    report: CollectReport,
    lock: threading.Lock,
    due: ScheduledAttempt,
    lease: FetchLease,
    examiner: Examiner,
) -> None:
    attempt = due.attempt
    key = result_key(attempt.attempt_id)
    fetch_from = partial(fetch, pipeline, attempt.account, key=key, heartbeat=lease.renew, check=examiner.check)
    fetched = fetch_from(attempt.result_url)
    expires_at = attempt.expires_at
    if isinstance(fetched, FetchFailure) and (
        fetched.stale_url or fetched.sha256 or is_over(expires_at, pipeline.now_ms())
    ):
        fresh = _fresh_url(pipeline, attempt)
        if isinstance(fresh, _FreshUrl):
            second = fetch_from(fresh.url)
            fetched, expires_at = _combine_tries(fetched, second), fresh.expires_at
        else:
            fetched = replace(fetched, message=f"{fetched.message}; {fresh.message}", stale_url=fresh.stale_url)
    if isinstance(fetched, Stored):
        try:
            _keep(pipeline, attempt, fetched, examiner)
        except ProbeUnavailable as error:
            fetched = could_not_probe(error)
        except FileNotFoundError as error:
            fetched = FetchFailure(f"{error.filename} went while it was examined")
        else:
            with lock:
                (report.restored if attempt.state is S.STORED else report.stored).append(attempt.where)
                report.bytes += fetched.bytes
            return
    decision = handle_failed_fetch(pipeline, due, lease, fetched, expires_at)
    if decision is not FetchDecision.AGAIN:
        pipeline.store.forget(key)
    lists = {
        FetchDecision.LOST: report.lost,
        FetchDecision.QUARANTINED: report.quarantined,
        FetchDecision.AGAIN: report.failed,
    }
    with lock:
        lists[decision].append(attempt.where)


def _keep(pipeline: Pipeline, attempt: AttemptRow, stored: Stored, examiner: Examiner) -> None:
    keep = keep_restored if attempt.state is S.STORED else partial(keep_film, actor=pipeline.owner)
    try:
        keep(pipeline, attempt, stored, examiner)
    except FileNotFoundError:  # the file that it continues went after it was looked for, and is found missing now
        examiner.forget_source()
        with Examiner(pipeline, attempt) as afresh:
            keep(pipeline, attempt, stored, afresh)


def _fresh_url(pipeline: Pipeline, attempt: AttemptRow) -> _FreshUrl | FetchFailure:
    """Query the result again: a query costs nothing, and its response has a fresh URL."""
    match pipeline.provider(attempt.account).query(attempt.task):
        case Found(view) if view.state is TaskState.SUCCEEDED:
            output = view.outputs[0]
            expires_at = view.expires_ms or attempt.expires_at
            if output.url != attempt.url:
                with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                    transitions.refresh_url(tx, attempt.attempt_id, url=output.url, expires_at=expires_at)
            return _FreshUrl(output.url, expires_at)
        case Found(view):
            return FetchFailure(f"the provider now reports {view.status_word!r} for a task that had succeeded")
        case NotFound(answer):
            return FetchFailure(f"the provider knows the task no more: {answer.message}", stale_url=True)
        case QueryFailed(_, answer):
            return FetchFailure(f"no fresh URL is available: {answer.message}")


def _combine_tries(first: FetchFailure, second: Stored | FetchFailure) -> Stored | FetchFailure:
    """Return the result of two tries from two URLs."""
    if isinstance(second, Stored):
        return second
    progress = first.progress or second.progress
    if second.sha256 is None or second.sha256 == first.sha256:
        return replace(second, progress=progress)
    # other bytes this time: the transfer is broken, not the film
    return FetchFailure(second.message, progress=progress)


def keep_film(
    pipeline: Pipeline, attempt: AttemptRow, stored: Stored, examiner: Examiner, *, actor: str
) -> Moved | Stale:
    """Record that an attempt's film is in the store, with its media analysis. Raise ProbeUnavailable where this machine
    can't analyse it now."""
    analysis = analyse(pipeline, attempt, stored, examiner)
    failpoint("collect.before_stored")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        if actor == pipeline.owner:  # a person who gave the file did not fetch its source
            examiner.record_source(tx)
        data = {**file_columns(stored), **analysis.columns}
        moved = transitions.stored(tx, attempt.attempt_id, data=data)
        if analysis.film_waits and isinstance(moved, Moved):
            files.record_not_made(tx, attempt)
        transitions.unschedule(tx, attempt.attempt_id)
    failpoint("collect.after_stored")
    if analysis.parent is not None:
        pipeline.store.kept_frames.forget(analysis.parent.sha256)
    if isinstance(moved, Stale) and moved.state is not S.STORED:
        state = "unknown" if moved.state is None else moved.state.value
        _log.warning(
            "%s/%s is %s meanwhile, and its file came: %s in the media store",
            attempt.video_key,
            attempt.hop,
            state,
            stored.path,
        )
    return moved
