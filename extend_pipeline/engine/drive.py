"""Drive the engine until nothing is left to do: each account in lanes of its own, and a plan whenever something has
changed. The command line and Dagster's runs both use this; the ledger decides which process does what."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from extend_pipeline.engine.advance import Round
from extend_pipeline.engine.dispatch import REST_MS, Dispatcher
from extend_pipeline.engine.fetch.collect import result_key
from extend_pipeline.engine.guards import contact
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.lanes import Lanes, Stop
from extend_pipeline.engine.leftover_tasks import leftover_tasks
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.publish import publish_last
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline.warehouse.errors import PublishError

MIN_WAIT_MS: Final = 50  # between two rounds, because a due time in the past must not make the loop spin
MAX_WAIT_MS: Final = 5_000  # because other processes and operators make changes that no due time announces
ADOPTED_WAIT_MS: Final = 3_600_000  # how long a drive waits for an adopted task; later rounds poll it too
STALE_PART_S: Final = 86_400  # age of partial files of dead writers; a download that still runs is never a day old


def advance_until_idle(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    max_seconds: float | None = None,
    on_round: Callable[[Round], None] | None = None,
    stop: threading.Event | None = None,
    shown: int = 0,
) -> Plan:
    """Run rounds until every video is complete, needs an operator or waits for another day; return the last plan of
    these videos.

    `on_round` is called after each round; its plan has `shown` of the videos that wait for a task. Publishes at the end
    too. Raises DiskError at the end where a disk could not be written in the last round.
    """
    try:
        for finished in rounds(pipeline, videos=videos, max_seconds=max_seconds, stop=stop, shown=shown):
            if on_round is not None:
                on_round(finished)
    except BaseException:
        with suppress(PublishError):  # the first error is the one to report
            publish_last(pipeline)
        raise
    publish_last(pipeline)
    if finished.disk_error is not None:
        raise finished.disk_error
    return plan(plan_input(pipeline, videos=videos))


def rounds(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    max_seconds: float | None = None,
    linger_s: float | None = None,
    stop: threading.Event | None = None,
    gap_s: float = 0.0,
    shown: int = 0,
) -> Iterator[Round]:
    """Yield a round whenever a plan was made: the plan, and what was done since the one before; at least one round.
    Meanwhile the accounts' work goes on (`dispatch`), and where nothing runs, wait until the next is due.

    Ends when only an operator or another day would help, after `max_seconds`, or when `stop` is set: nothing begins
    then, and what is under way is finished. With `linger_s`, also ends when nothing is due within this time. Publishes
    at most once in 5 s; the caller publishes at the end. Two plans are `gap_s` apart at least. A plan has `shown` of
    the videos that wait for a task, and counts the others.

    Of `videos` alone: only they are polled, fetched and submitted, and the end depends on them alone. What they wait
    for in other videos (a slot, a parent's hop) is not waited for, because it comes only where another process works.
    """
    _sweep(pipeline)
    videos = None if videos is None else frozenset(videos)  # may be many, and is asked for each that waits
    stop = stop or threading.Event()
    ends_s = None if max_seconds is None else time.monotonic() + max_seconds
    with Lanes(Stop(stop, ends_s)) as lanes:
        dispatcher = Dispatcher(pipeline, lanes, videos=videos, gap_s=gap_s, shown=shown)
        is_last = False
        while True:
            finished = dispatcher.plan(last=is_last)
            yield finished
            if is_last:
                return
            has_changed = dispatcher.work()
            is_last = lanes.stop.is_set()
            if has_changed or is_last:
                continue
            wait_ms = next_wait_ms(pipeline, finished, videos=videos)
            if wait_ms is None or (linger_s is not None and not _is_due_within(pipeline, finished, videos, linger_s)):
                return
            left_ms = wait_ms if ends_s is None else (ends_s - time.monotonic()) * 1000
            is_last = stop.wait(max(min(wait_ms, left_ms), 0) / 1000) or lanes.stop.is_set()


def next_wait_ms(pipeline: Pipeline, finished: Round, *, videos: Collection[str] | None = None) -> int | None:
    """Return how long to wait before the next round (ms); None when only an operator or another day would help."""
    moment_ms = next_moment_ms(pipeline, finished, videos=videos)
    if moment_ms is None:
        return None
    return int(max(MIN_WAIT_MS, min(moment_ms - pipeline.now_ms(), MAX_WAIT_MS)))


def next_moment_ms(pipeline: Pipeline, finished: Round, *, videos: Collection[str] | None = None) -> int | None:
    """Return when the next round will have something to do (UTC ms); None when only an operator or another day would
    help."""
    if finished.did_something or _may_submit(finished):
        return pipeline.now_ms()
    if moments := _moments(pipeline, finished, videos):
        return min(moments)
    others_only = all(
        video.blocker is not None and video.blocker.reason.waits_for_others for video in _continuing(pipeline, finished)
    )
    if others_only and not _waits_for_files(pipeline, videos) and not _is_anything_being_sent(pipeline, videos):
        return None
    return pipeline.now_ms() + MAX_WAIT_MS


def _moments(pipeline: Pipeline, finished: Round, videos: Collection[str] | None) -> list[int]:
    """Return when what needs no operator is due next, as far as that is known (UTC ms)."""
    # later rounds poll these tasks too, but no process needs to wait for that; a running task of a video with an
    # undecided edit is awaited
    unawaited = {video.key for video in finished.plan.needs_person if video.edit is None or video.running is None}
    unawaited |= {task.video_key for task in leftover_tasks(pipeline)}  # they are in no plan
    pollable = pipeline.accounts.keys() - pipeline.without_key().keys()
    moments: list[int] = []
    with pipeline.ledger.read() as connection:
        waiting = contact.waits(pipeline, connection)
        look = partial(
            queries.next_look,
            connection,
            adopted_since_ms=pipeline.now_ms() - ADOPTED_WAIT_MS,
            videos=videos,  # also of those that left the catalogue and are in no plan: their results are fetched
            without=unawaited,
        )
        if (at_ms := look(accounts=pollable - waiting.keys())) is not None:
            moments.append(at_ms)
        for name in pollable & waiting.keys():  # an account that doesn't reply is asked later than its tasks are due
            if (at_ms := look(accounts=[name])) is not None:
                moments.append(max(at_ms, waiting[name]))
    blockers = [video.blocker for video in _continuing(pipeline, finished) if video.blocker is not None]
    moments += [blocker.until_ms for blocker in blockers if blocker.until_ms]
    if finished.resting and finished.plan.due:
        moments.append(pipeline.now_ms() + REST_MS)
    return moments


def _continuing(pipeline: Pipeline, finished: Round) -> list[VideoPlan]:
    """Return the planned videos that continue in this process without an operator and without waiting for another
    day."""
    without_key = pipeline.without_key()
    return [
        video
        for video in finished.plan.videos
        if video.account in pipeline.accounts
        and video.account not in without_key
        and continues_today(video)
        and not _waits_for_disk(video, finished)
    ]


def _may_submit(finished: Round) -> bool:
    """Return whether the next round may submit a step that is due."""
    is_due = any(step.video.account not in finished.resting for step in finished.plan.due)
    return is_due and finished.disk_error is None


def continues_today(video: VideoPlan) -> bool:
    """Return whether a video continues without an operator and without waiting for another day."""
    if video.blocker is None:
        return video.due is not None or video.running is not None
    return not video.blocker.reason.needs_person and video.blocker.reason is not BlockReason.DAY_BUDGET


def _is_due_within(pipeline: Pipeline, finished: Round, videos: Collection[str] | None, seconds: float) -> bool:
    """Return whether any work that needs no operator is due within a time (s)."""
    if finished.did_something or _may_submit(finished):
        return True
    until_ms = pipeline.now_ms() + seconds * 1000
    return any(moment_ms <= until_ms for moment_ms in _moments(pipeline, finished, videos))


def _sweep(pipeline: Pipeline) -> None:
    """Remove partial files of dead writers, except those of results that are still to be fetched."""
    with pipeline.ledger.read() as connection:
        awaited = queries.attempts_in(connection, (AttemptState.SUCCEEDED,))
    keep = [result_key(attempt.attempt_id) for attempt in awaited]
    pipeline.store.sweep(older_than_s=STALE_PART_S, now=pipeline.now_ms() / 1000, keep=keep)


def _waits_for_files(pipeline: Pipeline, videos: Collection[str] | None) -> bool:
    """Return whether a mistake in the files keeps videos from continuing. Only a mistake that was made while this
    process worked counts: a home that had it when it was opened is not waited for."""
    if not pipeline.configuration.problems or not pipeline.had_valid_files:
        return False
    with pipeline.ledger.read() as connection:
        rows = queries.videos(connection, keys=videos, unfinished=True)
    return any(row.state != VideoState.BLOCKED.value for row in rows)


def _waits_for_disk(video: VideoPlan, finished: Round) -> bool:
    """Return whether the video's source or its next step waits until our own disk can be written."""
    is_unchecked = video.blocker is not None and video.blocker.reason is BlockReason.SOURCE_UNCHECKED
    return finished.disk_error is not None and (video.due is not None or is_unchecked)


def _is_anything_being_sent(pipeline: Pipeline, videos: Collection[str] | None) -> bool:
    with pipeline.ledger.read() as connection:
        sending = queries.attempts_in(connection, (AttemptState.CLAIMED, AttemptState.SENDING))
    # this home can't recover another account's attempts
    return any(row.account in pipeline.accounts and (videos is None or row.video_key in videos) for row in sending)
