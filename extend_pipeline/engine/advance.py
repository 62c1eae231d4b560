"""One round of everything, and rounds until nothing is left to do. Sensors, assets, backfills and the command line
all call these two functions; the ledger decides who does what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.engine.doubt.recover import RecoverReport, recover
from extend_pipeline.engine.fetch.collect import CollectReport, collect_due, result_key
from extend_pipeline.engine.fetch.media_analysis import examine_again
from extend_pipeline.engine.guards.clock import ledger_ahead_ms
from extend_pipeline.engine.guards.disk_space import DiskError, explained
from extend_pipeline.engine.guards.ledger_look import must_take_writes, remember
from extend_pipeline.engine.guards.process import accounts_left_alone, mistakes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.leftover_tasks import left_over
from extend_pipeline.engine.plan.inputs import declared, pending_renames, plan_input
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.deductions import LowerPrice, lower_prices_now
from extend_pipeline.engine.polling.poll import PollReport, poll_due
from extend_pipeline.engine.publish import publish_if_changed, publish_last
from extend_pipeline.engine.store.restore import restore_parts
from extend_pipeline.engine.store.watch import watch_store
from extend_pipeline.engine.submit.source_probe import PrepareReport, prepare
from extend_pipeline.engine.submit.submit import SubmitReport, submit_due
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline.ledger.write import catalog_sync, names
from extend_pipeline.ledger.write.catalog_sync import Progress
from extend_pipeline.warehouse.errors import PublishError

MIN_WAIT_MS: Final = 50  # between two rounds that found nothing: keeps a loop from spinning on a hint in the past
MAX_WAIT_MS: Final = 5_000  # other processes and people change things that no hint of ours tells of
ORPHAN_WAIT_MS: Final = 3_600_000  # for a task that was taken over; it is polled on by whoever advances next
STALE_PART_S: Final = 86_400  # half files of writers that died; a running download is never a day old


@dataclass
class Round:
    """What one round did, and the plan as it stood at its end."""

    plan: Plan
    recovered: RecoverReport = field(default_factory=RecoverReport)
    polled: PollReport = field(default_factory=PollReport)
    collected: CollectReport = field(default_factory=CollectReport)
    submitted: SubmitReport = field(default_factory=SubmitReport)
    changed: list[str] = field(default_factory=list)
    mistakes: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    prepared: PrepareReport = field(default_factory=PrepareReport)
    disk_error: DiskError | None = None  # of what no video tells of; a result that waits for room tells itself
    ledger_ahead_ms: int = 0  # by how much the last event before the round is dated after its beginning
    lower_prices: tuple[LowerPrice, ...] = ()
    """Prices below those of accounts.yaml that were charged for the first time in this round."""
    restored: list[str] = field(default_factory=list)

    @property
    def did_something(self) -> bool:
        """Return whether anything moved."""
        return bool(
            self.changed
            or self.prepared.measured
            or self.submitted.posts
            or self.collected.stored
            or self.collected.restored
            or self.restored
            or self.collected.lost
            or self.collected.quarantined
            or self.polled.succeeded
            or self.polled.failed
            or self.recovered.released
            or self.recovered.put_in_doubt
            or self.recovered.found
            or self.recovered.proved_absent
        )


def declare_catalogue(pipeline: Pipeline) -> catalog_sync.Declared:
    """Bring the ledger's videos and names to the files; write nothing when nothing changed, or when the ledger is not
    the one that the home knows. A catalogue with a mistake, or checked against accounts with one, says nothing of what
    left it: nothing is declared or withdrawn by it."""
    if not remember(pipeline.settings, pipeline.ledger).may_spend:
        return catalog_sync.Declared((), (), ())  # another ledger's videos are not this catalogue's to withdraw
    if pipeline.configuration.problems:
        return catalog_sync.Declared((), (), ())
    entries = declared(pipeline)
    with pipeline.ledger.read() as connection:
        known = queries.videos(connection)
        renames = pending_renames(pipeline, connection)
    if not renames and not catalog_sync.stale_declarations(known, entries):
        return catalog_sync.Declared((), (), ())
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        names.rename(tx, pending_renames(pipeline, tx.connection))
        return catalog_sync.declare(tx, entries)


def advance(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    submit: bool = True,
    publish: bool = True,
    stop: threading.Event | None = None,
) -> Round:
    """Return one round: recover → poll → collect → prepare → submit → write down progress → publish if anything
    changed.

    `videos` bounds what is polled, collected and submitted; recovery is always for all, since it costs nothing. While
    the catalogue or the accounts are wrong, the ledger is not the one that the home knows, or the media store is not
    there, what is paid is polled and fetched as before, and nothing is submitted. Raises NotOpenError where the ledger
    was moved.
    """
    must_take_writes(pipeline.ledger)
    began_ms = pipeline.now_ms()
    pipeline.refresh()
    ahead_ms = ledger_ahead_ms(pipeline)
    declare_catalogue(pipeline)
    watch_store(pipeline)
    recovered = recover(pipeline)
    polled = poll_due(pipeline, videos=videos)
    ended = polled.succeeded or polled.failed
    lower_prices = lower_prices_now(pipeline, since_ms=began_ms) if ended else ()
    collected = collect_due(pipeline, videos=videos, stop=stop)
    prepared = prepare(pipeline, videos=videos)
    restored: list[str] = []
    disk_error = prepared.disk_error or _examine_again(pipeline, restored)
    before = plan(plan_input(pipeline, videos=videos, unfinished=True))
    submitted = SubmitReport()
    after = before
    full = disk_error is not None or collected.disk_error is not None
    if submit and not full and before.due and not (stop is not None and stop.is_set()):
        submitted = submit_due(pipeline, before, stop=stop)
        after = plan(plan_input(pipeline, videos=videos, unfinished=True))
    changed = record_progress(pipeline, after)
    if publish:
        publish_if_changed(pipeline)
    return Round(
        after,
        recovered,
        polled,
        collected,
        submitted,
        changed,
        mistakes(pipeline),
        accounts_left_alone(pipeline, after),
        prepared,
        disk_error,
        ahead_ms,
        lower_prices,
        restored,
    )


def _examine_again(pipeline: Pipeline, restored: list[str]) -> DiskError | None:
    """Look again at what nobody could tell the kind of, and bring back films and sources that are missing, which are
    named in `restored`; an error of our own disk is told, and ends nothing else."""
    try:
        examine_again(pipeline)
        restored += restore_parts(pipeline)
    except OSError as error:
        with pipeline.ledger.read() as connection:
            awaited = queries.awaited(connection)
        if (told := explained(error, pipeline.settings, awaited=awaited)) is None:
            raise
        return told
    return None


def advance_until_idle(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    max_seconds: float | None = None,
    on_round: Callable[[Round], None] | None = None,
    stop: threading.Event | None = None,
) -> Plan:
    """Rounds until every video is complete, waits for a person, or waits for tomorrow; answers the last plan of all
    of them.

    `max_seconds` bounds the whole; `stop` ends it after the step that is under way. Publishes at the end and, in
    between, no more often than once a few seconds. Raises DiskError at the end where a disk did not take something in
    the last round.
    """
    _sweep(pipeline)
    stop = stop or threading.Event()
    ends_s = None if max_seconds is None else time.monotonic() + max_seconds
    published = pipeline.now_ms()
    try:
        while True:
            publish_now = abs(pipeline.now_ms() - published) >= MAX_WAIT_MS  # a clock may be set back
            now = advance(pipeline, videos=videos, publish=publish_now, stop=stop)
            if abs(pipeline.now_ms() - published) >= MAX_WAIT_MS:
                published = pipeline.now_ms()
            if on_round is not None:
                on_round(now)
            left = None if ends_s is None else (ends_s - time.monotonic()) * 1000
            wait_ms = next_wait_ms(pipeline, now, videos=videos)
            if wait_ms is None or stop.is_set() or (left is not None and left <= 0):
                break
            stop.wait(min(wait_ms, left if left is not None else wait_ms) / 1000)
            if stop.is_set():
                break
    except BaseException:
        with suppress(PublishError):  # what went wrong first is what is told
            publish_last(pipeline)
        raise
    publish_last(pipeline)
    if now.disk_error is not None:
        raise now.disk_error
    return plan(plan_input(pipeline, videos=videos))


def _sweep(pipeline: Pipeline) -> None:
    """Remove what dead writers left, but for what has come of results that are still to be fetched."""
    with pipeline.ledger.read() as connection:
        waiting = queries.attempts_in(connection, (AttemptState.SUCCEEDED,))
    keep = [result_key(attempt.attempt_id) for attempt in waiting]
    pipeline.store.sweep(older_than_s=STALE_PART_S, now=pipeline.now_ms() / 1000, keep=keep)


def next_wait_ms(pipeline: Pipeline, now: Round, *, videos: Collection[str] | None = None) -> int | None:
    """Return how long to wait before the next round; None when only a person or another day would help."""
    moment = next_moment_ms(pipeline, now, videos=videos)
    if moment is None:
        return None
    return int(max(MIN_WAIT_MS, min(moment - pipeline.now_ms(), MAX_WAIT_MS)))


def next_moment_ms(pipeline: Pipeline, now: Round, *, videos: Collection[str] | None = None) -> int | None:
    """Return when the next round will find something to do (UTC ms); None when only a person or another day would
    help."""
    if now.did_something or now.plan.due:
        return pipeline.now_ms()
    pollable = pipeline.accounts.keys() - pipeline.without_key().keys()
    with pipeline.ledger.read() as connection:
        since_ms = pipeline.now_ms() - ORPHAN_WAIT_MS
        scheduled = queries.scheduled_videos(connection, accounts=pollable, adopted_since_ms=since_ms)
    for video in now.plan.needs_person:  # what waits for a person is polled on, but nobody need sit and watch
        if (
            video.edit is None or video.running is None
        ):  # an edit is undecided, and what is under way comes all the same
            scheduled.pop(video.key, None)
    for each in left_over(pipeline):  # the same for one that is in no plan
        scheduled.pop(each.video_key, None)
    # a video that left the catalogue is in no plan, but what was paid for it is still fetched
    moments = [at for key, at in scheduled.items() if videos is None or key in videos]
    if not moments and _waits_for_files(pipeline, videos):
        return pipeline.now_ms() + MAX_WAIT_MS
    going_on = [
        video
        for video in now.plan.videos
        if video.account in pollable and goes_on_soon(video) and not _waits_for_disk(video, now)
    ]
    others_only = all(video.blocker is not None and video.blocker.reason.waits_for_others for video in going_on)
    if not moments and others_only and not _anything_on_the_way(pipeline):
        return None
    moments += [video.blocker.until_ms for video in going_on if video.blocker and video.blocker.until_ms]
    return min(moments, default=pipeline.now_ms() + MAX_WAIT_MS)


def goes_on_soon(video: VideoPlan) -> bool:
    """Return whether a video goes on by itself without waiting for another day."""
    if video.blocker is None:
        return video.due is not None or video.running is not None
    return not video.blocker.reason.needs_person and video.blocker.reason is not BlockReason.DAY_BUDGET


def _waits_for_files(pipeline: Pipeline, videos: Collection[str] | None) -> bool:
    """Return whether a mistake that came while this process worked keeps videos from going on. A home that was opened
    with one is waited for by nobody."""
    if not pipeline.configuration.problems or not pipeline.was_sound:
        return False
    with pipeline.ledger.read() as connection:
        rows = queries.videos(connection, keys=videos, unfinished=True)
    return any(row.state != VideoState.BLOCKED.value for row in rows)


def _waits_for_disk(video: VideoPlan, now: Round) -> bool:
    """Return whether its source is still to be fetched, and our own disk doesn't take files."""
    unchecked = video.blocker is not None and video.blocker.reason is BlockReason.SOURCE_UNCHECKED
    return unchecked and now.prepared.disk_error is not None


def _anything_on_the_way(pipeline: Pipeline) -> bool:
    with pipeline.ledger.read() as connection:
        moving = queries.predicted_in(connection, (AttemptState.CLAIMED, AttemptState.SENDING))
    return any(name in pipeline.accounts for name in moving)  # nobody here clears up what is of another account


def record_progress(pipeline: Pipeline, now: Plan) -> list[str]:
    """Write down how far each video of the plan has come; answers the keys that moved."""
    progress = {
        video.key: Progress(
            video.state,
            video.blocker.reason.value if video.blocker else "",
            f"{video.blocker.message} → {video.blocker.todo}" if video.blocker else "",
            video.hops_done,
            video.current_ms,
        )
        for video in now.videos
        if video.blocker is None or not video.blocker.reason.is_local
    }
    chosen = {video.key: video.choices for video in now.videos if video.choices}
    with pipeline.ledger.read() as connection:
        known = {row.video_key: row for row in queries.videos(connection, keys=progress)}
        before = names.choices_of(connection, chosen)
    moved = {
        key: entry
        for key, entry in progress.items()
        if key in known and catalog_sync.progress_differs(known[key], entry)
    }
    undecided = {
        key: choices
        for key, choices in chosen.items()
        if key in known and any(before.get(key, {}).get(c.chain_digest) != c.stands_for for c in choices)
    }
    if not moved and not undecided:
        return []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for key, choices in undecided.items():
            names.choose(tx, key, choices, why="what is paid for stands for it")
        return catalog_sync.record_progress(tx, moved)
