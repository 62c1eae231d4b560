"""One storm from its beginning to its reckoning: the pipeline's, with everything checked afterwards."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.read import budget_days, queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline_tests.chaos.counting import Count, count
from extend_pipeline_tests.chaos.homes import LUMA_A_DAY, QUICK, Catalogue, environment, storm_sandbox
from extend_pipeline_tests.chaos.operator import Operator
from extend_pipeline_tests.chaos.processes.fault_schedule import FaultSchedule
from extend_pipeline_tests.chaos.processes.storm import storm
from extend_pipeline_tests.chaos.processes.transactions import holders
from extend_pipeline_tests.chaos.processes.worker_pool import Counters, tail, worker_pool
from extend_pipeline_tests.chaos.processes.workers import (
    WORKERS,
    Orders,
    advance_for_ever,
    advance_to_the_end,
    publish_for_ever,
    sandbox_process,
    start,
)
from extend_pipeline_tests.support.harness.charges import charge_book, submissions_in
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock
from extend_pipeline_tests.support.ledger.committed import Peaks, peaks
from extend_pipeline_tests.support.ledger.reckoning import Reckoning, reckon, replays_to_the_same

_FIRST_VIDEOS: Final = 48
_GROWTH: Final = 12  # videos, whenever fewer than the least are left
_MIN_OPEN: Final = 48
_LOOK_EVERY_S: Final = 0.7
_CHECK_EVERY_S: Final = 8.0
_ELEVEN_MINUTES_MS: Final = 660_000  # a source or a film that could not be fetched is tried again after ten
_MAX_SKIP_MS: Final = 4 * _ELEVEN_MINUTES_MS


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for a run, in memory where the machine has such: a storm of two cores shall not wait for a disk that
    others write to. That nothing is lost by a kill does not rest on the disk; what a power cut may take is another
    test's."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ep-chaos-", dir=place) as folder:
        yield Path(folder)


@dataclass
class Chaos:
    """What a run showed."""

    seed: int
    seconds: float
    counters: Counters
    operator: Counter[str]
    checks: list[Count]
    in_the_storm: int
    end: Count
    reckoning: Reckoning
    videos: dict[str, int]
    waiting: list[VideoPlan]
    events: int
    storm_peaks: Peaks
    peaks: Peaks
    took_s: dict[str, float] = field(default_factory=dict)


def run_chaos(folder: Path, ledger_url: str, *, seed: int, seconds: float) -> Chaos:
    """Storm, calm, reckoning. Raises AssertionError where a promise does not hold."""
    began = time.monotonic()
    schedule = FaultSchedule(random.Random(seed))
    with sandbox_process(folder / "sandbox", storm_sandbox(seed)) as sandbox:
        home = EngineHome(folder / "home", sandbox, ledger_url, dict(QUICK))
        catalogue = Catalogue(home, random.Random(seed + 1))
        catalogue.open(_FIRST_VIDEOS)
        ledger = open_ledger(home.ledger_url)
        try:
            orders = _orders(home, folder)
            checks: list[Count] = []
            did: Counter[str] = Counter()
            work = [advance_for_ever] * WORKERS + [publish_for_ever]
            with holders(ledger_url) as holds, worker_pool(schedule, work, orders, armed=True, holds=holds) as made:
                meanwhile = _Meanwhile(catalogue, did, checks, seed)
                with meanwhile.going_on(while_it_ends=made.let_go_on):
                    storm(made, sandbox, seconds=seconds, has_done_enough=lambda: meanwhile.luma_was_full)
                    stormed, in_the_storm = time.monotonic(), len(sandbox.charges()["charges"])
                made.calm_down()
            assert made.counters.broken == [], f"{made.counters.broken}: {tail(orders.output)}"
            with ledger.read() as connection:
                raised_at = queries.head(connection)
            storm_peaks = peaks(ledger, up_to=raised_at)
            catalogue.luma_may_go_on()
            videos = _finish(home, folder, seed, did)
            calmed = time.monotonic()
            LocalStore(home.settings.media_dir).sweep(older_than_s=0, now=2**40)
            end = count(charge_book(sandbox), submissions_in(ledger))
            result = Chaos(
                seed=seed,
                seconds=seconds,
                counters=made.counters,
                operator=did,
                checks=checks,
                in_the_storm=in_the_storm,
                end=end,
                reckoning=reckon(home, ledger),
                videos=dict(Counter(video.state.value for video in videos)),
                waiting=[video for video in videos if video.state is not VideoState.COMPLETE],
                events=replays_to_the_same(ledger, folder),
                storm_peaks=storm_peaks,
                peaks=peaks(ledger),
            )
        finally:
            ledger.close()
    over = time.monotonic()
    result.took_s = {"storm": stormed - began, "calm": calmed - stormed, "reckoning": over - calmed}
    return result


@dataclass
class _Meanwhile:
    """What else goes on in a storm, in a thread of its own: the operator decides now and then, the catalogue grows, and
    charges are counted. Not in the storm's own thread: a process that was stopped in the middle of a transaction holds
    the ledger, and only the storm lets it go on."""

    catalogue: Catalogue
    did: Counter[str]
    checks: list[Count]
    seed: int
    luma_was_full: bool = False
    """Whether Luma's budget of the day was met once."""

    over: threading.Event = field(default_factory=threading.Event)
    ill: list[BaseException] = field(default_factory=list)

    @contextmanager
    def going_on(self, *, while_it_ends: Callable[[], None]) -> Iterator[None]:
        """Begin, and end with the block; what went wrong is raised then. `while_it_ends` is called again and again
        until it has ended: an armed failpoint may stop a process that holds the ledger even now, for which the last
        look would wait."""
        thread = threading.Thread(target=self._run, name="meanwhile")
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            while thread.is_alive():
                while_it_ends()
                thread.join(0.05)
        if self.ill:
            raise self.ill[0]

    def _run(self) -> None:
        home = self.catalogue.home
        try:
            with open_home(home.settings) as pipeline:
                operator = Operator(pipeline, home.sandbox, random.Random(self.seed + 2), self.did)
                checked = time.monotonic()
                while not self.over.wait(_LOOK_EVERY_S):
                    if self._open(pipeline.ledger) < _MIN_OPEN:
                        self.catalogue.grow(_GROWTH)
                    pipeline.refresh()
                    operator.look()
                    self.luma_was_full = self.luma_was_full or self._luma_is_full(pipeline)
                    if time.monotonic() - checked > _CHECK_EVERY_S:
                        checked = time.monotonic()
                        # the charge book first: what it has then, the ledger must have afterwards
                        book = charge_book(home.sandbox)
                        self.checks.append(count(book, submissions_in(pipeline.ledger)))
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            self.ill.append(error)

    def _luma_is_full(self, pipeline: Pipeline) -> bool:
        with pipeline.ledger.read() as connection:
            today = budget_days.committed(connection, pipeline.now_ms(), zone="UTC", accounts=["luma"])
        return today.get("luma", budget_days.Today()).micros >= to_micros(LUMA_A_DAY)

    def _open(self, ledger: Ledger) -> int:
        table = tables.videos
        done = table.c.state.in_([VideoState.COMPLETE.value, VideoState.BLOCKED.value])
        with ledger.read() as connection:
            ended = connection.execute(select(func.count()).where(done)).scalar_one()
        return len(self.catalogue.entries) - int(ended)


def _finish(home: EngineHome, folder: Path, seed: int, did: Counter[str]) -> tuple[VideoPlan, ...]:
    """One process advances until nothing is due soon and the operator decides what is left, until there is nothing more
    to decide and nothing to wait for. A film is lost only after its third refusal, each ten minutes after the last."""
    skipped_ms = 0
    for turn in range(15):
        _advance_once(home, folder, skipped_ms)
        with open_home(home.settings, now_ms=JumpClock(skipped_ms)) as pipeline:
            decided = Operator(pipeline, home.sandbox, random.Random(seed + 3 + turn), did).look(calm=True)
            videos = plan(plan_input(pipeline)).videos
        if decided:
            continue
        if skipped_ms == _MAX_SKIP_MS or not any(_only_needs_time(video) for video in videos):
            return videos
        skipped_ms += _ELEVEN_MINUTES_MS
    raise AssertionError(f"there is always something left to decide: {did}")


def _only_needs_time(video: VideoPlan) -> bool:
    """Whether a source, a task or a film whose looks went wrong in a row is tried again after some minutes."""
    if video.blocker is None:
        return video.running is not None
    return video.blocker.reason is BlockReason.UNREACHABLE_SOURCE


def _advance_once(home: EngineHome, folder: Path, skipped_ms: int) -> None:
    orders = replace(_orders(home, folder), output=folder / "calm.txt", skipped_ms=skipped_ms)
    worker = start(advance_to_the_end, orders, now=time.monotonic())
    worker.process.join(90)
    if worker.code is None:
        worker.process.kill()
    assert worker.code in (0, 1), f"ended with {worker.code}: {tail(orders.output)}"


def _orders(home: EngineHome, folder: Path) -> Orders:
    settings: dict[str, Any] = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    return Orders(settings, environment(), folder / "storm.txt", folder / "over")
