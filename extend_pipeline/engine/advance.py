"""One round of the engine: recover, poll, collect, prepare, submit, record progress, publish."""

import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field

from extend_pipeline.engine.declarations import declarations, may_differ, pending_renames, with_own_entries
from extend_pipeline.engine.doubt.recover import RecoverReport, recover
from extend_pipeline.engine.fetch.collect import CollectReport, collect_due
from extend_pipeline.engine.fetch.media_analysis import analyse_again
from extend_pipeline.engine.guards.clock import ledger_ahead_ms
from extend_pipeline.engine.guards.disk_space import DiskError, as_disk_error
from extend_pipeline.engine.guards.ledger_look import must_take_writes, remember
from extend_pipeline.engine.guards.other_home import (
    Extent,
    OtherHomeError,
    declarer,
    has_videos_of_others,
    is_to_be_recorded,
    may_declare,
)
from extend_pipeline.engine.guards.process import accounts_left_alone, mistakes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.deductions import LowerPrice, lower_prices_now
from extend_pipeline.engine.polling.poll import PollReport, poll_due
from extend_pipeline.engine.publish import publish_if_changed
from extend_pipeline.engine.store.restore import restore_parts
from extend_pipeline.engine.store.watch import watch_store
from extend_pipeline.engine.submit.source_probe import PrepareReport, prepare
from extend_pipeline.engine.submit.submit import SubmitReport, submit_due
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import catalog_sync, renames_and_choices
from extend_pipeline.ledger.write.catalog_sync import Progress


@dataclass
class Examined:
    """The results of one look at stored films: the videos whose results were classified again, and VIDEO/HOP or VIDEO
    of what was restored."""

    analysed: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    disk_error: DiskError | None = None


@dataclass
class Round:
    """What one round did, and the plan at its end."""

    plan: Plan
    recovered: RecoverReport = field(default_factory=RecoverReport)
    polled: PollReport = field(default_factory=PollReport)
    collected: CollectReport = field(default_factory=CollectReport)
    submitted: SubmitReport = field(default_factory=SubmitReport)
    changed: list[str] = field(default_factory=list)
    mistakes: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    prepared: PrepareReport = field(default_factory=PrepareReport)
    disk_error: DiskError | None = None  # of sources and films; a result that waits for disk space is in `collected`
    ledger_ahead_ms: int = 0  # by how much the last event before the round is dated after the round's beginning
    lower_prices: tuple[LowerPrice, ...] = ()
    """Prices below those of accounts.yaml that were charged for the first time in this round."""
    restored: list[str] = field(default_factory=list)
    resting: frozenset[str] = frozenset()
    """Accounts for which nothing could be claimed a moment ago although steps were due: submits of others wait for a
    reply."""

    @property
    def did_something(self) -> bool:
        """Return whether the round changed the state of an attempt, a video or a file."""
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
    """Write the catalogue's videos and names into the ledger; return what changed.

    Nothing is written when nothing changed or when the ledger is not the one that the home remembers. The same while
    the files have a mistake, because a faulty catalogue doesn't show which videos were really removed, or where another
    home has declared a later catalogue. Raises OtherHomeError when the ledger holds another home's videos.
    """
    nothing = catalog_sync.Declared((), (), ())
    if not remember(pipeline.settings, pipeline.ledger).may_spend:
        return nothing  # this catalogue must not remove another ledger's videos
    if pipeline.configuration.problems:
        return nothing
    configuration, settings, now_ms = pipeline.configuration, pipeline.settings, pipeline.now_ms()
    with pipeline.ledger.read() as connection:
        renames = pending_renames(pipeline, connection)
        last = catalog_sync.last_declared(connection)
        extent = may_declare(configuration, connection, last, now_ms=now_ms)
        withdraws_left_over = extent is Extent.ALL and last is not None and last.left_over_since is not None
        within = None if withdraws_left_over else may_differ(pipeline, last, renames)
        is_same = within is not None and not within
        if extent is Extent.NOTHING or (is_same and not is_to_be_recorded(settings, last, now_ms=now_ms)):
            return nothing
        known = queries.videos(connection, keys=within)
    digest, entries, home = configuration.catalogue.digest, declarations(configuration, within), declarer(settings)
    is_stale = bool(renames) or catalog_sync.stale_declarations(known, entries)
    with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
        meanwhile = catalog_sync.last_declared(tx.connection)
        if meanwhile != last:
            within, entries = None, declarations(configuration)
            extent = may_declare(configuration, tx.connection, meanwhile, now_ms=now_ms)
            if extent is Extent.NOTHING:
                return nothing
        elif not is_stale:
            catalog_sync.remember(tx, digest, home=home, keys_changed=False, compared_all=within is None)
            return nothing
        renames = pending_renames(pipeline, tx.connection)
        renames_and_choices.rename(tx, renames)
        return catalog_sync.declare(
            tx,
            entries,
            digest=digest,
            home=home,
            within=within,
            renamed=bool(renames.videos),
            withdraw=extent is Extent.ALL,
        )


def advance(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    submit: bool = True,
    publish: bool = True,
    stop: threading.Event | None = None,
) -> Round:
    """Run one round: recover → poll → collect → prepare → submit → record progress → publish if anything changed.

    Only `videos` are polled, collected and submitted (None: all); recovery covers all videos because it costs nothing.
    Paid tasks are polled and fetched but nothing is submitted while the catalogue or the accounts have a mistake, the
    ledger is not the one that the home remembers or holds another home's videos, or the media store is missing. `stop`
    ends the round after the current step. Raises NotOpenError when the ledger was moved.
    """
    began_ms = pipeline.now_ms()
    ahead_ms = begin(pipeline)
    recovered = recover(pipeline)
    polled = poll_due(pipeline, videos=videos)
    ended = polled.succeeded or polled.failed
    lower_prices = lower_prices_now(pipeline, since_ms=began_ms) if ended else ()
    collected = collect_due(pipeline, videos=videos, stop=stop)
    prepared = prepare(pipeline, videos=videos, stop=stop)
    examined = Examined(disk_error=prepared.disk_error) if prepared.disk_error else examine(pipeline, stop=stop)
    disk_error, analysed = examined.disk_error, examined.analysed
    before = plan(plan_input(pipeline, videos=videos, unfinished=True, walk_running=0, afresh=analysed))
    submitted = SubmitReport()
    after = before
    if submit and disk_error is None and before.due and not (stop is not None and stop.is_set()):
        submitted = submit_due(pipeline, before, stop=stop)
        after = plan(plan_input(pipeline, videos=videos, unfinished=True, walk_running=0, afresh=analysed))
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
        examined.restored,
    )


def begin(pipeline: Pipeline) -> int:
    """Read changed files, declare the catalogue if this home may, and look after the media store, before a plan. Return
    by how many ms the ledger's last event is dated after now. Raises NotOpenError when the ledger was moved."""
    must_take_writes(pipeline.ledger)
    pipeline.refresh()
    ahead_ms = ledger_ahead_ms(pipeline)
    with suppress(OtherHomeError):  # the plan has it as a blocker; what is paid for is polled and fetched
        declare_catalogue(pipeline)
    watch_store(pipeline)
    return ahead_ms


def examine(pipeline: Pipeline, *, stop: threading.Event | None = None) -> Examined:
    """Classify results of unknown kind again and restore missing films and sources. An error of our own disk is part of
    the report and not raised, because other work can continue. `stop` ends it after the current film or source."""
    report = Examined()
    try:
        report.analysed += analyse_again(pipeline, stop=stop)
        report.restored += restore_parts(pipeline, stop=stop)
    except OSError as error:
        with pipeline.ledger.read() as connection:
            awaited = queries.awaited(connection)
        report.disk_error = as_disk_error(error, pipeline.settings, awaited=awaited)
        if report.disk_error is None:
            raise
    return report


def record_progress(pipeline: Pipeline, current: Plan) -> list[str]:
    """Record in the ledger how far each video of the plan has come; return the keys of the videos that moved. Nothing
    is recorded of another home's videos, nor of one whose entry is another here than in the ledger, because two homes
    would record their own views of it in turn."""
    progress = {
        video.key: Progress(
            video.state,
            video.blocker.reason.value if video.blocker else "",
            video.blocker.describe() if video.blocker else "",
            video.hops_done,
            video.current_ms,
        )
        for video in current.videos
        if video.blocker is None or not video.blocker.reason.is_local
    }
    chosen = {video.key: video.choices for video in current.videos if video.choices}
    with pipeline.ledger.read() as connection:
        if has_videos_of_others(pipeline.configuration, connection, now_ms=pipeline.now_ms()):
            return []
        known = {row.video_key: row for row in queries.videos(connection, keys=progress)}
        differing = [row for key, row in known.items() if catalog_sync.progress_differs(row, progress[key])]
        own = with_own_entries(pipeline, connection, differing)
        before = renames_and_choices.choices_of(connection, chosen)
    moved = {key: entry for key, entry in progress.items() if key in own}
    undecided = {
        key: choices
        for key, choices in chosen.items()
        if key in known and any(before.get(key, {}).get(c.chain_digest) != c.stands_for for c in choices)
    }
    if not moved and not undecided:
        return []
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for key, choices in undecided.items():
            renames_and_choices.choose(tx, key, choices, why="what is paid for stands for it")
        definitions = {key: known[key].definition_digest for key in moved}
        return catalog_sync.record_progress(tx, moved, definitions=definitions)
