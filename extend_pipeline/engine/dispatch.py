"""Start the work of each account in lanes of its own: look-ups, polls, fetches, sources and submits. One thread plans,
starts and takes reports; what the jobs learn they write down themselves, in short transactions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from extend_pipeline.engine.advance import Examined, Round, begin, examine, record_progress
from extend_pipeline.engine.doubt.recover import RecoverReport, look_up, recover_home, wants_look_up
from extend_pipeline.engine.fetch.collect import FETCHED, CollectReport, lease_results, release_waiting_for_space
from extend_pipeline.engine.guards import contact
from extend_pipeline.engine.guards.disk_space import DiskError
from extend_pipeline.engine.guards.process import accounts_left_alone, mistakes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.lanes import Lane, Lanes, Stage, add
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.deductions import lower_prices_now
from extend_pipeline.engine.polling.poll import PollReport, poll_due
from extend_pipeline.engine.publish import NotPublished, publish_if_due
from extend_pipeline.engine.submit.source_probe import PrepareReport, prepare, unfetched
from extend_pipeline.engine.submit.submit import SubmitReport, submit_due
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write.hints import job_queue

PLAN_EVERY_MS: Final = 5_000  # because other processes and operators make changes that no job of this one reports
MIN_GAP_S: Final = 0.2  # between two plans while jobs run, because each costs some 10 ms however little it finds
PLAN_SHARE: Final = 8  # a plan is made at most once in this multiple of the CPU time that the last one took
MIN_LOOK_S: Final = 0.05  # until the next look at what is due, because a due time may be a moment ahead
FETCH_LOOK_S: Final = 0.2  # between two looks while only fetches end, because each reads all that is scheduled
FAILED_PUBLISH_MS: Final = 60_000  # after a publish that failed, which may have cost as much as a whole one
REST_MS: Final = 1_000  # between two jobs of one account that look for doubts or sources, or that can claim nothing

SLOW_FETCH_S: Final = 10.0  # from then on a fetch waits for its host, and takes nothing from the others' shares

IN_DOUBT: Final = (AttemptState.IN_DOUBT,)


@dataclass
class _Done:
    """The reports of the jobs that have ended since the last plan, added up by their type."""

    recovered: RecoverReport = field(default_factory=RecoverReport)
    polled: PollReport = field(default_factory=PollReport)
    collected: CollectReport = field(default_factory=CollectReport)
    submitted: SubmitReport = field(default_factory=SubmitReport)
    prepared: PrepareReport = field(default_factory=PrepareReport)
    examined: Examined = field(default_factory=Examined)

    def add(self, report: object) -> None:
        """Add the report of a job; that of a publish changes no plan and is left out."""
        for part in vars(self).values():
            if type(part) is type(report):
                add(part, report)


class Dispatcher:
    """The work of one process on a home, in lanes: of all videos or the named ones. `shown` of those that wait for a
    task are part of its plans, and the others are counted."""

    def __init__(
        self, pipeline: Pipeline, lanes: Lanes, *, videos: Collection[str] | None, gap_s: float, shown: int
    ) -> None:
        self.pipeline, self.lanes = pipeline, lanes
        self.videos, self.gap_s, self.shown = videos, gap_s, shown
        self.changed = False
        """Whether a job has ended since the last plan that changes what a plan finds."""
        self._done = _Done()
        self._planned_at = self._plan_gap_s = 0.0
        self._began_ms = pipeline.now_ms()
        self._disk_errors: dict[Lane, DiskError] = {}
        """The error of our own disk with which the last job of a lane ended, of sources or films. Of a result that the
        disk did not take the plan knows."""
        self._had_disk_error = False
        self._rested: dict[Lane, int] = {}
        self._published_ms = pipeline.now_ms()
        self._publish_gap_ms = PLAN_EVERY_MS
        self._next_look_ms: int | None = None
        self._looked_s = self._look_again_s = 0.0
        """When the queue was looked at, and when it is again (monotonic s)."""
        self._fetchable: frozenset[str] = frozenset()
        """The accounts for which the last look has found results to fetch, without those that have none any more."""

    def plan(self, *, last: bool = False) -> Round:
        """Take the reports, plan, and start what the plan finds due. With `last`, wait for the jobs and start
        nothing."""
        pipeline = self.pipeline
        self._take_reports(of_all=last)
        began, cpu_s, since_ms = time.monotonic(), time.thread_time(), self._began_ms
        self._began_ms = pipeline.now_ms()
        ahead_ms = begin(pipeline)
        add(self._done.recovered, recover_home(pipeline))
        done, self._done, self.changed = self._done, _Done(), False
        ended = done.polled.succeeded or done.polled.failed
        analysed = done.examined.analysed
        read = plan_input(pipeline, videos=self.videos, unfinished=True, walk_running=self.shown, afresh=analysed)
        planned = plan(read)
        finished = Round(
            planned,
            done.recovered,
            done.polled,
            done.collected,
            done.submitted,
            record_progress(pipeline, planned),
            mistakes(pipeline),
            accounts_left_alone(pipeline, planned),
            done.prepared,
            next(iter(self._disk_errors.values()), None),
            ahead_ms,
            lower_prices_now(pipeline, since_ms=since_ms) if ended else (),
            done.examined.restored,
            frozenset(name for name in pipeline.accounts if self._rests(Lane(Stage.SUBMIT, name))),
        )
        self._planned_at = time.monotonic()
        self._look_again_s = 0.0
        # what it waited for (locks, other threads) is no cost, and grows with the neighbours' work
        self._plan_gap_s = max(MIN_GAP_S, (time.thread_time() - cpu_s) * PLAN_SHARE, self._planned_at - began)
        self._had_disk_error = bool(self._disk_errors)
        if not last:
            self._start_planned(finished)
        return finished

    def work(self) -> bool:
        """Start what becomes due until another plan is worth making, or no job runs. Return whether it is."""
        while True:
            self._take_reports()
            if self.lanes.stop.is_set():
                return True
            now_s = time.monotonic()
            gap_s = (REST_MS if self._done.submitted.refused else PLAN_EVERY_MS) / 1000
            if self.changed:
                gap_s = max(self._plan_gap_s, self.gap_s)
            plan_s = self._planned_at + gap_s
            if now_s >= plan_s:
                return True
            self._start_due()
            if not self.lanes.is_busy and (not self.changed or now_s >= self._planned_at + self.gap_s):
                return self.changed
            waits_s = [plan_s - now_s, self._look_again_s - now_s]
            if self._next_look_ms is not None:
                waits_s.append(max((self._next_look_ms - self.pipeline.now_ms()) / 1000, MIN_LOOK_S))
            self.lanes.wait(min(waits_s))

    def _take_reports(self, *, of_all: bool = False) -> None:
        for lane, report in self.lanes.reports(of_all=of_all):
            self._done.add(report)
            # an ended fetch may have scheduled another one, and what else ends makes more due at once
            is_fetch = lane.stage is Stage.FETCH
            self._look_again_s = min(self._look_again_s, self._looked_s + FETCH_LOOK_S if is_fetch else 0.0)
            if lane.stage is Stage.SUBMIT and _is_in_vain(report):
                self._rested[lane] = self._began_ms
            elif lane.stage is Stage.SUBMIT:
                self.changed = True
            if isinstance(report, Examined | PrepareReport):
                self._disk_errors.pop(lane, None)
                if report.disk_error is not None:
                    self._disk_errors[lane] = report.disk_error
            if lane.stage is Stage.PUBLISH:
                self._publish_gap_ms = FAILED_PUBLISH_MS if isinstance(report, NotPublished) else PLAN_EVERY_MS
        self.changed = self.changed or self._has_news()

    def _has_news(self) -> bool:
        done = self._done
        news = (done.recovered, done.collected, done.prepared, done.polled, done.examined)
        lists = [value for report in news for value in vars(report).values() if isinstance(value, list)]
        return any(lists) or bool(self._disk_errors) is not self._had_disk_error

    def _start_planned(self, finished: Round) -> None:
        pipeline, planned = self.pipeline, finished.plan
        release_waiting_for_space(pipeline)
        asked, stopped = wants_look_up(pipeline)
        for name in asked:
            self._start_rested(Lane(Stage.LOOK_UP, name), partial(_look_up, pipeline, name))
        for name in stopped:
            self._start_rested(Lane(Stage.POLL, name), self._poll(name))
        self._start(Lane(Stage.EXAMINE), partial(examine, pipeline, stop=self.lanes.stop))
        unfetched = self._start_sources()
        if finished.disk_error is None:
            ready = replace(planned, videos=tuple(video for video in planned.videos if video.key not in unfetched))
            for name in {step.video.account for step in ready.due} - finished.resting:
                submit = partial(submit_due, pipeline, ready, account=name, stop=self.lanes.stop)
                self._start(Lane(Stage.SUBMIT, name), submit)
        if abs(pipeline.now_ms() - self._published_ms) >= self._publish_gap_ms:  # a clock may be set back
            self._published_ms = pipeline.now_ms()
            self._start(Lane(Stage.PUBLISH), partial(publish_if_due, pipeline))

    def _start_sources(self) -> frozenset[str]:
        """Start the fetches of sources that are due. Return their videos, which wait until that was tried."""
        waiting: dict[str, list[str]] = {}
        if not self.pipeline.configuration.problems:
            for video in unfetched(self.pipeline, self.videos):
                waiting.setdefault(video.account, []).append(video.key)
        for lane in [lane for lane in self._disk_errors if lane.stage is Stage.PREPARE and lane.account not in waiting]:
            del self._disk_errors[lane]  # no source of it is waited for any more
        for name, keys in waiting.items():
            job = partial(prepare, self.pipeline, videos=keys, stop=self.lanes.stop)
            self._start_rested(Lane(Stage.PREPARE, name), job)
        return frozenset(key for keys in waiting.values() for key in keys)

    def _start_due(self) -> None:
        """Start polls, look-ups and fetches that are due. An account has one job of each kind, but as many fetches as
        its share: where one has ended, the next one begins without another look at the queue."""
        if time.monotonic() >= self._look_again_s or (
            self._next_look_ms is not None and self.pipeline.now_ms() >= self._next_look_ms
        ):
            self._look()
        self._start_fetches()

    def _look(self) -> None:
        """Start the polls and look-ups that are due, and remember for which accounts fetches are."""
        self._looked_s, self._look_again_s = time.monotonic(), math.inf
        pipeline = self.pipeline
        now_ms, settings = pipeline.now_ms(), pipeline.settings
        pollable = {name: pipeline.accounts[name] for name in pipeline.accounts.keys() - pipeline.without_key().keys()}
        keyed = {name: account for name, account in pollable.items() if account.submit_class == "A"}
        polls, look_ups = schedule.poll_waits(settings, pollable), schedule.lookup_waits(settings, keyed)
        fetches = schedule.fetch_waits(settings, pipeline.accounts)
        with pipeline.ledger.read() as connection:
            silent = contact.waits(pipeline, connection)
            queue = job_queue.read_queue(connection, now_ms=now_ms, videos=self.videos)
        next_ms = [] if queue.next_ms is None else [queue.next_ms]
        self._next_look_ms = min([*silent.values(), *next_ms], default=None)
        for name in queue.due(POLLED, polls) - silent.keys():
            self._start(Lane(Stage.POLL, name), self._poll(name))
        for name in queue.due(IN_DOUBT, look_ups) - silent.keys():
            self._start(Lane(Stage.LOOK_UP, name), partial(_look_up, pipeline, name))
        self._fetchable = queue.due(FETCHED, fetches)

    def _start_fetches(self) -> None:
        if self._done.collected.disk_error is not None:
            return  # the others would fail too
        lanes = {name: Lane(Stage.FETCH, name) for name in self.pipeline.accounts}
        fetching = {*self._fetchable, *(name for name, lane in lanes.items() if self.lanes.running(lane))}
        waiting = {name for name, lane in lanes.items() if self.lanes.running(lane, longer_than_s=SLOW_FETCH_S)}
        each = share(self.pipeline.settings.max_downloads, len(fetching - waiting))
        for name in self._fetchable:
            lane = lanes[name]
            free = each - self.lanes.running(lane)
            if free > 0 and not self.lanes.stop.is_set():
                jobs = lease_results(self.pipeline, name, free, videos=self.videos)
                for job in jobs:
                    self.lanes.start(lane, job)
                if len(jobs) < free:
                    self._fetchable -= {name}

    def _poll(self, name: str) -> Callable[[], PollReport]:
        stop = self.lanes.stop
        return partial(
            poll_due, self.pipeline, videos=self.videos, accounts=[name], may_continue=lambda: not stop.is_set()
        )

    def _start(self, lane: Lane, job: Callable[[], object]) -> None:
        """Start a job unless one of its lane runs or the work is stopped."""
        if not self.lanes.running(lane) and not self.lanes.stop.is_set():
            self.lanes.start(lane, job)

    def _start_rested(self, lane: Lane, job: Callable[[], object]) -> None:
        """Start a job of a lane that has rested since its last one."""
        if not self._rests(lane):
            self._rested[lane] = self.pipeline.now_ms()
            self._start(lane, job)

    def _rests(self, lane: Lane) -> bool:
        """Return whether a job of the lane began a moment ago that another one should not follow at once."""
        return abs(self.pipeline.now_ms() - self._rested.get(lane, 0)) < REST_MS


def share(total: int, accounts: int) -> int:
    """Return how many of `total` downloads at a time one of so many accounts may have: an equal part, and at least
    one."""
    return max(1, -(-total // max(accounts, 1)))


def _is_in_vain(report: SubmitReport) -> bool:
    """Return whether nothing was sent and another plan would find the same due: how many submits of all processes wait
    for a reply is asked by the claim alone."""
    return not report.posts and all(refused.reason is BlockReason.SILENT for refused in report.refused)


def _look_up(pipeline: Pipeline, name: str) -> RecoverReport:
    report = RecoverReport()
    look_up(pipeline, [name], report)
    return report
